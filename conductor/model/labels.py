"""Selectors of objects by their labels, as Kubernetes has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

__all__ = ["Expression", "Selector"]


@dataclass(frozen=True, slots=True)
class Expression:
    """One of `matchExpressions`."""

    key: str
    operator: str
    """In, NotIn, Exists or DoesNotExist; what is none of them matches nothing."""
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Judge as Kubernetes does: NotIn holds without the label, too."""
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case "DoesNotExist":
                return self.key not in labels
            case _:
                return False

    @property
    def words(self) -> str:
        """As kubectl writes it."""
        match self.operator:
            case "Exists":
                return self.key
            case "DoesNotExist":
                return f"!{self.key}"
            case operator:
                return f"{self.key} {operator.lower()} ({','.join(self.values)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Which objects; an empty one takes all."""

    match_labels: Mapping[str, str] = field(default_factory=dict)
    match_expressions: tuple[Expression, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is meant."""
        exactly = all(labels.get(key) == value for key, value in self.match_labels.items())
        return exactly and all(item.matches(labels) for item in self.match_expressions)

    @property
    def words(self) -> str:
        """As kubectl takes it for `--selector`."""
        exactly = (f"{key}={value}" for key, value in self.match_labels.items())
        return ",".join((*exactly, *(item.words for item in self.match_expressions)))

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Self:
        """Read one that a schema has judged."""
        expressions = (
            Expression(item.get("key", ""), item.get("operator", ""), tuple(item.get("values") or ()))
            for item in raw.get("matchExpressions") or ()
        )
        return cls(match_labels=dict(raw.get("matchLabels") or {}), match_expressions=tuple(expressions))

    def printed(self) -> dict[str, Any]:
        """Print it; what is empty is left out."""
        told: dict[str, Any] = {"matchLabels": dict(self.match_labels)} if self.match_labels else {}
        if self.match_expressions:
            told["matchExpressions"] = [
                {"key": item.key, "operator": item.operator} | ({"values": list(item.values)} if item.values else {})
                for item in self.match_expressions
            ]
        return told
