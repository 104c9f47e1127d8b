"""JSON that strangers wrote: read within bounds, or refused with a sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from conductor.errors import ImageTooLarge, ImageUnusable

__all__ = ["json_object"]

MOST_VALUES = 200_000
"""Commas, colons and brackets: a few MiB of `[],[],…` would be a hundred MiB of lists."""
_DEEPEST = 64


def json_object(body: bytes, what: str, most: int) -> Mapping[str, Any]:
    """Read a JSON object of at most `most` bytes. Raises `ImageTooLarge`, `ImageUnusable`; `what` begins both."""
    if len(body) > most:
        raise ImageTooLarge(f"{what} has {len(body)} bytes; at most {most} are read")
    if sum(body.count(mark) for mark in (b",", b":", b"[", b"{")) > MOST_VALUES:
        raise ImageTooLarge(f"{what} has more than {MOST_VALUES} values; so many are not read")
    try:
        found = json.loads(body.decode(), parse_constant=_refuse)
        _check_depth(found)
    except (ValueError, RecursionError) as exc:
        raise ImageUnusable(f"{what} is no JSON that can be read ({type(exc).__name__})") from None
    if not isinstance(found, dict):
        raise ImageUnusable(f"{what} is a JSON {type(found).__name__}; an object was expected")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(_DEEPEST):
        inner = (v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list))
        level = [item for items in inner for item in items]
        if not level:
            return
    raise ValueError("too deep")
