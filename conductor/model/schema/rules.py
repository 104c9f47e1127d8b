"""Rules between fields: each prints itself as CEL for the API server and judges a value here.

A value that a rule judges has passed the tree's own checks of types and lengths, as CEL demands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

__all__ = [
    "QUANTITY",
    "AnyOf",
    "Begins",
    "DurationBetween",
    "ExactlyOne",
    "Is",
    "Matches",
    "NeededFor",
    "Needs",
    "NotBoth",
    "OnlyFor",
    "QuantityBetween",
    "Rule",
    "seconds_of",
    "units_of",
]

QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"
_UNITS: dict[str, int | Fraction] = {"": 1, "m": Fraction(1, 1000)}
_UNITS |= {letter: 10 ** (3 * power) for power, letter in enumerate("kMGT", 1)}
_UNITS |= {f"{letter}i": 1 << (10 * power) for power, letter in enumerate("KMGT", 1)}
_SECONDS = {"ms": Fraction(1, 1000), "s": Fraction(1), "m": Fraction(60), "h": Fraction(3600)}
_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactlyOne:
    """One of several groups of fields is there, and one only."""

    groups: tuple[tuple[str, ...], ...]
    message: str
    field: str = ""

    @property
    def cel(self) -> str:
        """The rule as the API server takes it."""
        return f"[{', '.join(' || '.join(map(_has, group)) for group in self.groups)}].filter(x, x).size() == 1"

    def holds(self, value: Any) -> bool:
        """Judge an object."""
        return sum(any(key in value for key in group) for group in self.groups) == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyOf:
    """At least one of several fields is there."""

    fields: tuple[str, ...]
    message: str
    field: str = ""

    @property
    def cel(self) -> str:
        """The rule as the API server takes it."""
        return " || ".join(map(_has, self.fields))

    def holds(self, value: Any) -> bool:
        """Judge an object."""
        return any(key in value for key in self.fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotBoth:
    """Of two fields at most one is there."""

    fields: tuple[str, str]
    message: str
    field: str = ""

    @property
    def cel(self) -> str:
        """The rule as the API server takes it."""
        return f"!({' && '.join(map(_has, self.fields))})"

    def holds(self, value: Any) -> bool:
        """Judge an object."""
        return not all(key in value for key in self.fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """Where one of several fields is there, another one is, too; it may lie deeper: `a.b`, where `a` is required."""

    fields: tuple[str, ...]
    needs: str
    message: str
    field: str = ""

    @property
    def cel(self) -> str:
        """The rule as the API server takes it."""
        return f"!({' || '.join(map(_has, self.fields))}) || {_has(self.needs)}"

    def holds(self, value: Any) -> bool:
        """Judge an object."""
        return not any(key in value for key in self.fields) or _is_there(value, self.needs)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlyFor:
    """A field is there for some values of another one only."""

    only: str
    key: str
    words: tuple[str, ...]
    message: str
    field: str = ""

    @property
    def cel(self) -> str:
        """The rule as the API server takes it."""
        return f"!{_has(self.only)} || self.{self.key} in {_listed(self.words)}"

    def holds(self, value: Any) -> bool:
        """Judge an object."""
        return self.only not in value or value.get(self.key) in self.words


@dataclass(frozen=True, slots=True, kw_only=True)
class NeededFor:
    """A field must be there for some values of another one."""

    needed: str
    key: str
    words: tuple[str, ...]
    message: str
    field: str = ""

    @property
    def cel(self) -> str:
        """The rule as the API server takes it."""
        return f"{_has(self.needed)} || !(self.{self.key} in {_listed(self.words)})"

    def holds(self, value: Any) -> bool:
        """Judge an object."""
        return self.needed in value or value.get(self.key) not in self.words


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """A text has a form; the pattern is one that RE2 and Python read alike, and is matched whole."""

    pattern: str
    message: str
    field: str = ""

    @property
    def cel(self) -> str:
        """The rule as the API server takes it."""
        return f"self.matches(r'^(?:{self.pattern})$')"

    def holds(self, value: Any) -> bool:
        """Judge a text."""
        return re.fullmatch(self.pattern, value) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Begins:
    """A text begins with another one; cheap, where texts are long."""

    prefix: str
    message: str
    field: str = ""

    @property
    def cel(self) -> str:
        """The rule as the API server takes it."""
        return f"self.startsWith('{self.prefix}')"

    def holds(self, value: Any) -> bool:
        """Judge a text."""
        return bool(value.startswith(self.prefix))


@dataclass(frozen=True, slots=True, kw_only=True)
class Is:
    """A flag can only be true."""

    message: str
    field: str = ""

    @property
    def cel(self) -> str:
        """The rule as the API server takes it."""
        return "self"

    def holds(self, value: Any) -> bool:
        """Judge a flag."""
        return bool(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantityBetween:
    """A quantity (a number, or text like 32Mi or 100m) within bounds; texts of another form are the pattern's."""

    least: str
    most: str
    message: str
    whole: bool = True
    field: str = ""

    @property
    def cel(self) -> str:
        """The rule as the API server takes it."""
        least, most = (f"quantity('{bound}')" for bound in (self.least, self.most))
        text = f"quantity(self).compareTo({least}) >= 0 && quantity(self).compareTo({most}) <= 0"
        whole = "quantity(self).isInteger() && " if self.whole else ""
        number = f"quantity(string(self)).compareTo({least}) >= 0 && quantity(string(self)).compareTo({most}) <= 0"
        return f"type(self) == int ? {number} : !self.matches(r'{QUANTITY}') || ({whole}{text})"

    def holds(self, value: Any) -> bool:
        """Judge a number or a text."""
        amount = Fraction(value) if isinstance(value, int) else units_of(value)
        if amount is None:
            return True
        least, most = units_of(self.least), units_of(self.most)
        assert least is not None
        assert most is not None
        return least <= amount <= most and (not self.whole or amount.denominator == 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class DurationBetween:
    """A duration (text like 500ms, 30s, 2m; a whole number is seconds) within bounds."""

    least: str
    most: str
    message: str
    numbers: bool = True
    """Whether the field takes numbers, too."""
    field: str = ""

    @property
    def cel(self) -> str:
        """The rule as the API server takes it."""
        least, most = (f"duration('{bound}')" for bound in (self.least, self.most))
        number = f"duration(string(self) + 's') >= {least} && duration(string(self) + 's') <= {most}"
        pattern = "'^[0-9.]+(ms|s|m|h)$'"
        text = f"!self.matches({pattern}) || (duration(self) >= {least} && duration(self) <= {most})"
        return f"type(self) == int ? {number} : {text}" if self.numbers else text

    def holds(self, value: Any) -> bool:
        """Judge a number or a text."""
        amount = Fraction(value) if isinstance(value, int) else seconds_of(value)
        if amount is None:
            return True
        least, most = seconds_of(self.least), seconds_of(self.most)
        assert least is not None
        assert most is not None
        return least <= amount <= most


Rule = (
    ExactlyOne
    | AnyOf
    | Begins
    | NotBoth
    | Needs
    | OnlyFor
    | NeededFor
    | Matches
    | Is
    | QuantityBetween
    | DurationBetween
)


def units_of(text: str) -> Fraction | None:
    """Read a quantity; None where it is none."""
    return _amount_of(text, _UNITS)


def seconds_of(text: str) -> Fraction | None:
    """Read a duration; None where it is none."""
    return _amount_of(text, _SECONDS)


def _amount_of(text: str, scales: Mapping[str, int | Fraction]) -> Fraction | None:
    found = _AMOUNT.fullmatch(text) if len(text) <= 32 else None
    if found is None or found[2] not in scales:
        return None
    try:
        return Fraction(Decimal(found[1])) * scales[found[2]]
    except InvalidOperation:
        return None


def _has(path: str) -> str:
    return f"has(self.{path})"


def _is_there(value: Mapping[str, Any], path: str) -> bool:
    key, _, deeper = path.partition(".")
    return key in value and (not deeper or _is_there(value[key], deeper))


def _listed(words: tuple[str, ...]) -> str:
    return f"[{', '.join(repr(word) for word in words)}]"
