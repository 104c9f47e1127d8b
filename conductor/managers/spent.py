"""What a program has cost over all its instances."""

from __future__ import annotations

from collections import Counter

from conductor.managers.ticker import TickCounts
from conductor.model.ids import Name
from conductor.model.status import Cost
from conductor.ports import InstanceCost

__all__ = ["Spent"]


class Spent:
    """Own the totals of instances that ended, so that a program's counters go on."""

    def __init__(self) -> None:
        self.counts = TickCounts()
        self._cpu = 0.0
        self._taken = 0
        self._losses: int | None = None
        self._delivered = 0
        self._dropped: Counter[str] = Counter()

    def add(self, cost: InstanceCost) -> None:
        """Add what an instance cost that has ended."""
        self._cpu += cost.cpu_seconds
        self._taken += cost.events_taken
        self._losses = _sum(self._losses, cost.kernel_losses)
        self._delivered += cost.events_delivered
        self._dropped.update(cost.events_dropped)

    def cost(self, name: Name, present: InstanceCost | None) -> Cost:
        """Answer the totals, with the instance that runs."""
        now = present or InstanceCost()
        return Cost(
            name=name,
            cpu_seconds=self._cpu + now.cpu_seconds,
            memory_bytes=now.memory_bytes,
            kernel_losses=_sum(self._losses, now.kernel_losses),
            events_taken=self._taken + now.events_taken,
            events_queued=now.events_queued,
            events_delivered=self._delivered + now.events_delivered,
            events_dropped=dict(self._dropped + Counter(now.events_dropped)),
            ticks=self.counts.ticks,
            tick_seconds=self.counts.seconds,
            last_tick=self.counts.last,
            last_tick_ok=self.counts.last_ok,
        )


def _sum(before: int | None, now: int | None) -> int | None:
    return before if now is None else (before or 0) + now
