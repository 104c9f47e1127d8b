"""Whether a map is what a program needs."""

from __future__ import annotations

import pytest

from conductor.errors import MapMismatch
from conductor.model.grants import MapGrant, MapInfo, MapNeed, MapType
from conductor.model.ids import MapId, Name
from conductor.plan.layout import check_layout

GRANT = MapGrant(name="n", kernel_program=Name("k"), map="m")


def info(type_: MapType, key: int = 4, value: int = 8) -> MapInfo:
    return MapInfo(id=MapId(1), name="m", type=type_, key_size=key, value_size=value, max_entries=1)


def need(type_: MapType, key: int = 0, value: int = 0) -> MapNeed:
    return MapNeed(name="n", type=type_, key_size=key, value_size=value)


@pytest.mark.parametrize(
    ("needed", "found"),
    [
        (need(MapType.HASH, 4, 8), info(MapType.HASH)),
        (need(MapType.HASH), info(MapType.HASH, 100, 200)),
        (need(MapType.HASH, 4), info(MapType.LRU_HASH)),
        (need(MapType.PERCPU_HASH), info(MapType.LRU_PERCPU_HASH)),
        (need(MapType.RINGBUF), info(MapType.RINGBUF, 0, 0)),
    ],
)
def test_fits(needed: MapNeed, found: MapInfo) -> None:
    check_layout(needed, GRANT, found)


@pytest.mark.parametrize(
    ("needed", "found", "says"),
    [
        (need(MapType.HASH), info(MapType.ARRAY), "its type is array, and n needs hash"),
        (need(MapType.HASH), info(MapType.PERCPU_HASH), "its type is percpu_hash"),
        (need(MapType.HASH, 8), info(MapType.HASH), "its keys have 4 bytes, and n needs 8"),
        (need(MapType.HASH, 0, 4), info(MapType.HASH), "its values have 8 bytes, and n needs 4"),
    ],
)
def test_does_not_fit(needed: MapNeed, found: MapInfo, says: str) -> None:
    with pytest.raises(MapMismatch, match=f"map m of kernel program k: {says}"):
        check_layout(needed, GRANT, found)
