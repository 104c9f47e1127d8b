"""What the gRPC door counts, as plain attributes for whoever writes metrics."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

__all__ = ["BOUNDS", "CallCounts"]

BOUNDS = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0)
"""Upper bounds of the latency buckets, in seconds; the last bucket is open."""


@dataclass(slots=True)
class CallCounts:
    """Calls by method and code, latency by method; methods are those of our services or `unknown`."""

    finished: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By (method, status name such as OK)."""
    seconds: Counter[str] = field(default_factory=Counter)
    buckets: dict[str, list[int]] = field(default_factory=dict)
    """Not cumulative: one count per bound of `BOUNDS`, and one beyond."""
    in_flight: int = 0
    connections: int = 0
    connections_refused: int = 0

    def add(self, method: str, code: str, seconds: float) -> None:
        """Count a call that ended."""
        self.finished[method, code] += 1
        self.seconds[method] += seconds  # type: ignore[assignment]  # Counter's stub knows only int
        self.buckets.setdefault(method, [0] * (len(BOUNDS) + 1))[bisect_left(BOUNDS, seconds)] += 1
