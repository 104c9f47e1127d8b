"""Causes of a refusal: a field and a sentence, both as the API server has them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from conductor.model.manifest_fields import did_you_mean

__all__ = [
    "Cause",
    "Weight",
    "invalid",
    "is_whole",
    "json_type",
    "printed",
    "sorted_json",
    "too_long",
    "too_many",
    "unsupported",
    "wrong_type",
]


class Weight(Enum):
    """What else is looked at beside a cause."""

    DECODING = 0
    """Nothing: the document could not be read as its kind."""
    BLOCKING = 1
    """All but the rules between fields."""
    PLAIN = 2
    """Everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why a manifest is refused. `hint` is ours: what was probably meant."""

    field: str
    message: str
    weight: Weight = Weight.PLAIN
    hint: str = ""


def invalid(field: str, value: object, problem: str) -> Cause:
    """A value that breaks a rule; objects and lists are not printed."""
    told = "" if isinstance(value, Mapping | list | tuple) else f"{printed(value)}: "
    return Cause(field=field, message=f"Invalid value: {told}{problem}")


def wrong_type(field: str, wanted: str, value: object, *, hint: str = "") -> Cause:
    """A value of another type."""
    found = printed(json_type(value))
    message = f"Invalid value: {found}: {field} in body must be of type {wanted}: {found}"
    return Cause(field=field, message=message, weight=Weight.BLOCKING, hint=hint)


def unsupported(field: str, value: object, words: Sequence[str]) -> Cause:
    """A word that is none of the known ones."""
    known = ", ".join(printed(word) for word in words)
    hint = did_you_mean(value, words) if isinstance(value, str) else ""
    message = f"Unsupported value: {printed(value)}: supported values: {known}"
    return Cause(field=field, message=message, weight=Weight.BLOCKING, hint=hint)


def too_long(field: str, most: int) -> Cause:
    """A text past its bound."""
    return Cause(field=field, message=f"Too long: may not be more than {most} bytes", weight=Weight.BLOCKING)


def too_many(field: str, count: int, most: int) -> Cause:
    """A list or map past its bound."""
    items = "item" if most == 1 else "items"
    return Cause(field=field, message=f"Too many: {count}: must have at most {most} {items}", weight=Weight.BLOCKING)


def json_type(value: object) -> str:
    """Name a value's type as JSON schema does."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case int() | float():
            return "integer" if is_whole(value) else "number"
        case Mapping():
            return "object"
        case list() | tuple():
            return "array"
        case _:
            return type(value).__name__


def is_whole(value: object) -> bool:
    """Whether JSON's number is a whole one that fits in 64 bits; 1.0 is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return (isinstance(value, int) or value.is_integer()) and -(1 << 63) <= value < 1 << 63


def printed(value: object) -> str:
    """Print a value as in a message."""
    if isinstance(value, float) and is_whole(value):
        value = int(value)
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return f'"{type(value).__name__}"'


def sorted_json(value: Mapping[str, Any]) -> str:
    """Print an object as in a message."""
    try:
        return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError):
        return "{}"
