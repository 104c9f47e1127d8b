"""A program's hard budget as text pairs: `memory: 16Mi`, `cpu: 0.1`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from conductor.errors import InvalidSpec
from conductor.model.program import Limits

__all__ = ["limits_from_wire", "limits_to_wire"]

_SUFFIXES = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "k": 1000, "M": 1000**2, "G": 1000**3}
_DEFAULTS = Limits()


def limits_from_wire(pairs: Mapping[str, str], field: str = "limits") -> Limits:
    """Parse limits; those not named keep their defaults. Raises `InvalidSpec` with the names that exist."""
    known = {f.name: type(getattr(_DEFAULTS, f.name)) for f in fields(Limits)}
    values: dict[str, Any] = {}
    for name, text in pairs.items():
        if name not in known:
            raise InvalidSpec(f"{field}.{name[:40]}", f"is unknown: {', '.join(known)}")
        values[name] = _number(text, known[name], f"{field}.{name}")
    return Limits(**values)


def limits_to_wire(limits: Limits) -> dict[str, str]:
    """Print the limits that differ from the defaults."""
    names = (f.name for f in fields(Limits))
    return {name: str(getattr(limits, name)) for name in names if getattr(limits, name) != getattr(_DEFAULTS, name)}


def _number(text: str, kind: type, field: str) -> float:
    digits, factor = text, 1
    for suffix, value in _SUFFIXES.items():
        if kind is int and text.endswith(suffix):
            digits, factor = text.removesuffix(suffix), value
            break
    try:
        number = float(kind(digits)) * factor if len(digits) < 20 else math.nan
    except ValueError:
        number = math.nan
    if not 0 < number < 1 << 53:
        raise InvalidSpec(field, f"{text[:40]!r} is no positive number{', such as 16Mi' if kind is int else ''}")
    return number if kind is float else int(number)
