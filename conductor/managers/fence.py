"""A fence between a program that was replaced, or got stuck, and everything it was given to write to."""

from __future__ import annotations

from collections.abc import Sequence

from conductor.managers.ticker import TickCounts
from conductor.model.metrics import MetricSpec
from conductor.ports import Ids, LogSink, SeriesSink, StateCell, Values

__all__ = ["Fence", "FencedLog", "FencedSeries", "FencedState"]


class Fence:
    """Open until it is cut; what comes later goes nowhere and is counted among what its program does."""

    def __init__(self, counts: TickCounts) -> None:
        self.is_cut = False
        self._counts = counts

    def cut(self) -> None:
        """Let nothing through any more."""
        self.is_cut = True

    def passes(self) -> bool:
        """Whether a write may go through."""
        if self.is_cut:
            self._counts.held_back += 1
        return not self.is_cut


class FencedSeries:
    """A sink (ports.SeriesSink) behind a fence."""

    def __init__(self, sink: SeriesSink, fence: Fence) -> None:
        self._sink, self._fence = sink, fence

    def declare(self, metric: MetricSpec) -> int:
        """Pass on: a declaration changes nothing on the page."""
        return self._sink.declare(metric)

    def intern(self, metric: int, rows: Sequence[Sequence[str]]) -> Ids:
        """Pass on: a new row is not shown before it is written."""
        return self._sink.intern(metric, rows)

    def set(self, ids: Ids, values: Values) -> None:
        """Write unless the fence is cut."""
        if self._fence.passes():
            self._sink.set(ids, values)

    def add(self, ids: Ids, values: Values) -> None:
        """Write unless the fence is cut."""
        if self._fence.passes():
            self._sink.add(ids, values)

    def observe(self, ids: Ids, values: Values) -> None:
        """Write unless the fence is cut."""
        if self._fence.passes():
            self._sink.observe(ids, values)

    def merge(self, ids: Ids, buckets: Values, sums: Values) -> None:
        """Write unless the fence is cut."""
        if self._fence.passes():
            self._sink.merge(ids, buckets, sums)

    def set_bins(self, ids: Ids, buckets: Values, sums: Values) -> None:
        """Write unless the fence is cut."""
        if self._fence.passes():
            self._sink.set_bins(ids, buckets, sums)

    def remove(self, ids: Ids) -> None:
        """Remove unless the fence is cut."""
        if self._fence.passes():
            self._sink.remove(ids)


class FencedState:
    """A state cell (ports.StateCell) behind a fence."""

    def __init__(self, cell: StateCell, fence: Fence) -> None:
        self._cell, self._fence = cell, fence

    def load(self) -> bytes | None:
        """Answer what was stored last."""
        return self._cell.load()

    def store(self, state: bytes) -> None:
        """Store unless the fence is cut."""
        if self._fence.passes():
            self._cell.store(state)


class FencedLog:
    """A log (ports.LogSink) behind a fence."""

    def __init__(self, log: LogSink, fence: Fence) -> None:
        self._log, self._fence = log, fence

    def __call__(self, level: str, message: str) -> None:
        """Log unless the fence is cut."""
        if self._fence.passes():
            self._log(level, message)
