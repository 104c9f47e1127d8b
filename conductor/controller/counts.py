"""What the controller counts of itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from conductor.model.cluster import WatchCounts

__all__ = ["ControllerCounts"]


@dataclass(slots=True)
class ControllerCounts:
    """Kept over terms of leadership; written by the controller alone."""

    passes: int = 0
    pass_seconds: float = 0.0
    """Spent deciding, without what is waited for."""
    longest_pass: float = 0.0
    queued: int = 0
    writes: Counter[str] = field(default_factory=Counter)
    """Changes that were made, by the action's name."""
    write_bytes: int = 0
    paced_seconds: float = 0.0
    """For which writes were held back."""
    conflicts: int = 0
    failures: int = 0
    """Changes that failed otherwise; they are tried again."""
    deferred: int = 0
    """Statuses that wait because only counts changed."""
    resolved: int = 0
    unresolved: int = 0
    """Tries to resolve an image's tag that failed."""
    watches: dict[str, WatchCounts] = field(default_factory=dict)
    """By plural."""

    def figures(self) -> dict[str, float]:
        """Answer all of it by a name each, flat."""
        told: dict[str, float] = {
            "passes_total": self.passes,
            "pass_seconds_total": self.pass_seconds,
            "pass_seconds_max": self.longest_pass,
            "queue_depth": self.queued,
            "write_bytes_total": self.write_bytes,
            "paced_seconds_total": self.paced_seconds,
            "conflicts_total": self.conflicts,
            "failures_total": self.failures,
            "statuses_deferred_total": self.deferred,
            "images_resolved_total": self.resolved,
            "images_unresolved_total": self.unresolved,
            "writes_total": sum(self.writes.values()),
            "rows": sum(counts.rows for counts in self.watches.values()),
        }
        return told
