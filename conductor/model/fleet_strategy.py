"""Words of a roll-out: which nodes, how many at a time, who goes first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from conductor.model.fleet_times import duration_of
from conductor.model.labels import Selector

__all__ = ["ALL_NODES", "Share", "Strategy"]

SOAK = 30.0


ALL_NODES = Selector()


@dataclass(frozen=True, slots=True)
class Share:
    """A number of nodes, or a percentage of them."""

    amount: int
    is_percent: bool = False

    @classmethod
    def parse(cls, raw: object, default: int) -> Self:
        """Read `3` or `10%`; the default number for what is absent or neither."""
        if isinstance(raw, str) and raw.endswith("%") and raw[:-1].isdecimal():
            return cls(min(100, int(raw[:-1])), is_percent=True)
        return cls(max(0, raw) if isinstance(raw, int) and not isinstance(raw, bool) else default)

    def of(self, nodes: int, *, up: bool) -> int:
        """Answer how many of so many that is: a percentage is rounded up, or down."""
        if not self.is_percent:
            return min(self.amount, nodes)
        return -(-nodes * self.amount // 100) if up else nodes * self.amount // 100

    def printed(self) -> int | str:
        """Print it as manifests have it."""
        return f"{self.amount}%" if self.is_percent else self.amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """How a change comes to the nodes."""

    type: str = "Overlap"
    """Or Recreate."""
    max_unavailable: Share = Share(1)
    """Nodes that change at a time; one at least."""
    canary: Share = Share(1)
    """Nodes that try it first; 0: none."""
    soak: float = SOAK
    """Seconds for which they must run it well."""
    pause: bool = False
    rollback_on_failure: bool = True

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Self:
        """Read `spec.updateStrategy`."""
        return cls(
            type=raw.get("type") or "Overlap",
            max_unavailable=Share.parse(raw.get("maxUnavailable"), 1),
            canary=Share.parse(raw.get("canary"), 1),
            soak=duration_of(raw.get("soak"), SOAK),
            pause=raw.get("pause") is True,
            rollback_on_failure=raw.get("rollbackOnFailure") is not False,
        )

    def printed(self) -> dict[str, Any]:
        """Print it whole."""
        return {
            "type": self.type,
            "maxUnavailable": self.max_unavailable.printed(),
            "canary": self.canary.printed(),
            "soak": f"{self.soak:g}s",
            "pause": self.pause,
            "rollbackOnFailure": self.rollback_on_failure,
        }
