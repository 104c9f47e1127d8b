"""Limits in manifests and on the wire: quantities as Kubernetes writes them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import fields as dataclass_fields
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

from conductor.errors import InvalidSpec
from conductor.model.manifest_fields import Fields, shown
from conductor.model.program import Limits

__all__ = ["limits_of", "limits_spec_of", "parse_limits"]

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?")
_SCALES: dict[str, int | Fraction] = {
    "": 1,
    "m": Fraction(1, 1000),
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "Ki": 1 << 10,
    "Mi": 1 << 20,
    "Gi": 1 << 30,
    "Ti": 1 << 40,
}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m)?")
_SECONDS: dict[str, int | Fraction] = {"ms": Fraction(1, 1000), "s": 1, "m": Fraction(60), "": 1}
# manifest field, attribute, least, most
_COUNTS = (
    ("memory", "memory", 64 << 10, 4 << 30),
    ("series", "series", 0, 10_000_000),
    ("logLines", "log_lines", 0, 10_000),
    ("inbox", "inbox", 4096, 1 << 30),
    ("mapOperations", "map_operations", 1, 1_000_000_000),
)


def parse_limits(raw: Mapping[str, Any], field: str = "limits") -> Limits:
    """Parse a mapping of limits, as in manifests or as strings on the wire. Raises `InvalidSpec`."""
    return limits_of(Fields(raw, field))


def limits_of(fields: Fields) -> Limits:
    """Parse `spec.limits`: memory "32Mi", cpu "100m", cpuCall "500ms", series 10000 and the others."""
    found: dict[str, Any] = {}
    for key, attribute, least, most in _COUNTS:
        if fields.has(key):
            found[attribute] = _count(fields.value(key), fields.at(key), least, most)
    if fields.has("cpu"):
        found["cpu"] = _within(_quantity(fields.value("cpu"), fields.at("cpu")), fields.at("cpu"), "0.001", "1024")
    if fields.has("cpuCall"):
        seconds = _duration(fields.value("cpuCall"), fields.at("cpuCall"))
        found["cpu_call"] = _within(seconds, fields.at("cpuCall"), "0.001", "60")
    fields.ignore("cpu", "cpuCall", *(key for key, *_ in _COUNTS))
    fields.refuse_unknown()
    return Limits(**found)


def limits_spec_of(limits: Limits) -> dict[str, Any]:
    """Print `spec.limits`: what differs from the defaults."""
    keys = {attribute: key for key, attribute, *_ in _COUNTS} | {"cpu": "cpu", "cpu_call": "cpuCall"}
    default = Limits()
    if limits == default:
        return {}
    names = (f.name for f in dataclass_fields(Limits))
    changed = {name: getattr(limits, name) for name in names if getattr(limits, name) != getattr(default, name)}
    return {keys[name]: _printed(value, "s" if name == "cpu_call" else "") for name, value in changed.items()}


def _printed(value: float, unit: str) -> int | str:
    """Print a number; a fraction is text, for Kubernetes has no other numbers in quantities."""
    return int(value) if float(value).is_integer() else f"{value!r}{unit}"


def _count(value: object, field: str, least: int, most: int) -> int:
    quantity = _quantity(value, field)
    if quantity.denominator != 1 or not least <= quantity <= most:
        raise InvalidSpec(field, f"{shown(value)} is not a whole number between {least} and {most}")
    return int(quantity)


def _within(value: Fraction, field: str, least: str, most: str) -> float:
    if not Fraction(least) <= value <= Fraction(most):
        raise InvalidSpec(field, f"{float(value):g} is not between {least} and {most}")
    return float(value)


def _quantity(value: object, field: str) -> Fraction:
    return _scaled(value, field, _QUANTITY, _SCALES, "a quantity like 32Mi, 100m or 0.5")


def _duration(value: object, field: str) -> Fraction:
    return _scaled(value, field, _DURATION, _SECONDS, "a duration like 500ms, 1.5s or a number of seconds")


def _scaled(
    value: object, field: str, pattern: re.Pattern[str], scales: Mapping[str, int | Fraction], what: str
) -> Fraction:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise InvalidSpec(field, f"{shown(value)} is not {what}")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidSpec(field, f"{value} is not {what}")
    if not isinstance(value, str):
        return Fraction(value) if isinstance(value, int) else Fraction(repr(value))
    found = pattern.fullmatch(value) if len(value) <= 32 else None
    if not found:
        raise InvalidSpec(field, f"{shown(value)} is not {what}")
    try:
        return Fraction(Decimal(found[1])) * scales[found[2] or ""]
    except InvalidOperation as exc:
        raise InvalidSpec(field, f"{shown(value)} is not {what}") from exc
