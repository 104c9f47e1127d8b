"""What a program has cost over all its instances."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from conductor.managers.ticker import TickCounts
from conductor.model.ids import Name
from conductor.model.status import Cost, StreamCost
from conductor.ports import InstanceCost

__all__ = ["Spent"]


@dataclass(slots=True)
class _Books:
    """Records of instances that ended. What waited when the last one did is not among `taken`: the next one takes it."""

    taken: int = 0
    delivered: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    losses: int | None = None
    waiting: int = 0

    def add(self, cost: StreamCost) -> None:
        """Add those of one that ended."""
        self.taken += cost.taken - cost.queued
        self.delivered += cost.delivered
        self.dropped.update(cost.dropped)
        self.losses = _sum(self.losses, cost.kernel_losses)
        self.waiting = cost.queued

    def total(self, now: StreamCost | None) -> StreamCost:
        """Answer the totals, with the instance that runs."""
        now = now or StreamCost(taken=self.waiting, queued=self.waiting)
        return StreamCost(
            taken=self.taken + now.taken,
            delivered=self.delivered + now.delivered,
            queued=now.queued,
            dropped=dict(self.dropped + Counter(now.dropped) if self.dropped else now.dropped),
            kernel_losses=_sum(self.losses, now.kernel_losses),
        )


class Spent:
    """Own the totals of instances that ended, so that a program's counters go on."""

    def __init__(self) -> None:
        self.counts = TickCounts()
        self._ended = False
        """Whether there is anything to add to what the instance that runs tells."""
        self._cpu = 0.0
        self._all = _Books()
        self._streams: dict[str, _Books] = {}

    def add(self, cost: InstanceCost) -> None:
        """Add what an instance cost that has ended; records that it left behind are the next one's."""
        self._ended = True
        self._cpu += cost.cpu_seconds
        self._all.add(_whole(cost))
        for name, stream in cost.streams.items():
            self._streams.setdefault(name, _Books()).add(stream)

    def cost(
        self,
        name: Name,
        present: InstanceCost | None,
        *,
        series: int = 0,
        series_refused: int = 0,
        log_lines_dropped: int = 0,
    ) -> Cost:
        """Answer the totals, with the instance that runs; what others count is taken as it is told."""
        now = present or InstanceCost()
        whole = self._all.total(None if present is None else _whole(present)) if self._ended else _whole(now)
        return Cost(
            name=name,
            cpu_seconds=self._cpu + now.cpu_seconds,
            memory_bytes=now.memory_bytes,
            kernel_losses=whole.kernel_losses,
            events_taken=whole.taken,
            events_queued=whole.queued,
            events_delivered=whole.delivered,
            events_dropped=whole.dropped,
            streams=self._by_stream(None if present is None else present.streams),
            ticks=self.counts.ticks,
            tick_seconds=self.counts.seconds,
            last_tick=self.counts.last,
            last_tick_ok=self.counts.last_ok,
            held_back=self.counts.held_back,
            series=series,
            series_refused=series_refused,
            log_lines_dropped=log_lines_dropped,
        )

    def _by_stream(self, present: Mapping[str, StreamCost] | None) -> dict[str, StreamCost]:
        if not self._streams:
            return dict(present or {})
        names = [*self._streams, *(name for name in present or () if name not in self._streams)]
        none = None if present is None else StreamCost()
        return {name: self._streams.get(name, _Books()).total((present or {}).get(name, none)) for name in names}


def _whole(cost: InstanceCost) -> StreamCost:
    return StreamCost(
        taken=cost.events_taken,
        delivered=cost.events_delivered,
        queued=cost.events_queued,
        dropped=cost.events_dropped,
        kernel_losses=cost.kernel_losses,
    )


def _sum(before: int | None, now: int | None) -> int | None:
    return before if now is None else (before or 0) + now
