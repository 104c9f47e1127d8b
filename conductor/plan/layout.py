"""Whether an opened map is what a program needs."""

from __future__ import annotations

from conductor.errors import MapMismatch
from conductor.model.grants import MapGrant, MapInfo, MapNeed, MapType

__all__ = ["check_layout"]

_ALIKE = {MapType.LRU_HASH: MapType.HASH, MapType.LRU_PERCPU_HASH: MapType.PERCPU_HASH}
"""Types that differ in what they evict and not in how they are read."""


def check_layout(need: MapNeed, grant: MapGrant, info: MapInfo) -> None:
    """Compare type and sizes; a need's size 0 takes any. Raises `MapMismatch` naming both sides."""
    if _ALIKE.get(info.type, info.type) != _ALIKE.get(need.type, need.type):
        raise MapMismatch(_sentence(grant, f"its type is {info.type}, and {need.name} needs {need.type}"))
    for what, needed, found in (("key", need.key_size, info.key_size), ("value", need.value_size, info.value_size)):
        if needed not in (0, found):
            raise MapMismatch(_sentence(grant, f"its {what}s have {found} bytes, and {need.name} needs {needed}"))


def _sentence(grant: MapGrant, problem: str) -> str:
    return (
        f"map {grant.map} of kernel program {grant.kernel_program}: {problem}; "
        "grant another map, or use the kernel program that this program was written for"
    )
