"""JSON values inside manifests: checked once, bounded in depth and size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import islice

from conductor.errors import InvalidSpec
from conductor.model.manifest_fields import shown, text_of

__all__ = ["check_json"]

NODES = 10_000
DEPTH = 32
TEXT = 64 << 10


def check_json(value: object, path: str) -> None:
    """Check that a value is JSON of at most 10,000 values, 32 deep. Raises `InvalidSpec`."""
    level = [(path, value)]
    nodes = 0
    for _ in range(DEPTH):
        nodes += len(level)
        if nodes > NODES:
            raise InvalidSpec(path, f"holds more than {NODES} values")
        # cut short: a document of a few aliases can stand for more values than memory holds
        level = list(islice((child for at, item in level for child in _children(item, at)), NODES + 1))
        if not level:
            return
    raise InvalidSpec(path, f"is nested deeper than {DEPTH}")


def _children(item: object, at: str) -> Iterator[tuple[str, object]]:
    match item:
        case Mapping():
            for key, element in item.items():
                yield f"{at}.{text_of(key, at, most=256)}", element
        case list() | tuple():
            yield from ((f"{at}[{i}]", element) for i, element in enumerate(item))
        case _:
            _check_leaf(item, at)


def _check_leaf(item: object, at: str) -> None:
    match item:
        case None | bool():
            pass
        case int():
            if not -(1 << 63) <= item < 1 << 64:
                raise InvalidSpec(at, "is a number past 64 bits")
        case float():
            if not math.isfinite(item):
                raise InvalidSpec(at, f"{item} is not a number that JSON knows")
        case str():
            text_of(item, at, most=TEXT, empty=True)
        case _:
            raise InvalidSpec(at, f"{shown(item)} is not JSON; quote it if it is meant as a string")
