"""Single values of the wire: enums, times, labels, and the JSON object that a program's config travels as."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import IntEnum
from typing import Any, NoReturn, TypeVar

from conductor.errors import InvalidSpec
from conductor.model.manifest_limits import limits_spec_of
from conductor.model.manifest_user import parse_config
from conductor.model.program import Limits, Source

__all__ = [
    "MAX_CONFIG",
    "MAX_LABELS",
    "config_from_wire",
    "config_to_wire",
    "enum_from_wire",
    "labels_from_wire",
    "limits_to_wire",
    "milliseconds",
    "seconds",
    "source_from_word",
    "word_of",
]

MAX_CONFIG = 64 << 10
"""Bytes of a config."""
MAX_LABELS = 64
MAX_KEY = 256
MAX_VALUE = 1024

E = TypeVar("E", bound=IntEnum)


def enum_from_wire(kind: type[E], number: int, field: str) -> E:
    """Name a bare number. Raises `InvalidSpec` listing the numbers that exist."""
    try:
        return kind(number)
    except ValueError:
        known = ", ".join(f"{member.value} {word_of(member)}" for member in kind)
        raise InvalidSpec(field, f"{number} is unknown: {known}") from None


def word_of(member: IntEnum) -> str:
    """Spelling of an enum's member as people write it."""
    return str(getattr(member, "word", member.name))


def source_from_word(word: str, field: str = "source") -> Source:
    """Read where a wish came from. Raises `InvalidSpec`."""
    for source in Source:
        if source.word == word:
            return source
    raise InvalidSpec(field, f"{word[:40]!r} is unknown: {', '.join(source.word for source in Source)}")


def limits_to_wire(limits: Limits) -> dict[str, str]:
    """Print the limits that differ from the defaults, as `parse_limits` reads them."""
    return {name: str(value) for name, value in limits_spec_of(limits).items()}


def milliseconds(time: float) -> int:
    """Unix seconds as the wire's Unix milliseconds."""
    return round(time * 1000)


def seconds(time: int) -> float:
    """Read the wire's Unix milliseconds."""
    return time / 1000


def labels_from_wire(labels: Mapping[str, str], field: str) -> dict[str, str]:
    """Check free text pairs. Raises `InvalidSpec` when they are too many, too long or hold control characters."""
    if len(labels) > MAX_LABELS:
        raise InvalidSpec(field, f"{len(labels)} pairs, at most {MAX_LABELS}")
    for key, value in labels.items():
        if not key or len(key) > MAX_KEY or not key.isprintable():
            raise InvalidSpec(field, f"{key[:40]!r} is no key: 1 to {MAX_KEY} printable characters")
        if len(value) > MAX_VALUE or not value.replace("\n", "").isprintable():
            raise InvalidSpec(f"{field}.{key}", f"a value has at most {MAX_VALUE} printable characters")
    return dict(labels)


def config_from_wire(text: str, field: str = "config") -> dict[str, Any]:
    """Read a JSON object; empty text is the empty object. Raises `InvalidSpec`."""
    if len(text.encode()) > MAX_CONFIG:
        raise InvalidSpec(field, f"longer than {MAX_CONFIG >> 10} KiB")
    try:
        value = json.loads(text or "{}", object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except RecursionError:
        raise InvalidSpec(field, "nested too deep") from None
    except ValueError as error:
        raise InvalidSpec(field, f"no JSON: {error}") from None
    return parse_config(value, field)


def config_to_wire(config: Mapping[str, Any]) -> str:
    """Print a config; the empty one as empty text."""
    return json.dumps(dict(config), ensure_ascii=False, separators=(",", ":")) if config else ""


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is given twice")
    return found


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON number")
