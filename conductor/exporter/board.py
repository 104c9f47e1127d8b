"""The agent's own families: what is told is shown, what is told no more leaves the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from conductor.exporter.sink import ProgramSeries
from conductor.exporter.table import Row
from conductor.model.metrics import MetricSpec

__all__ = ["Bins", "Board", "Rows"]

Rows = Mapping[Row, float]
"""Values by label row; an unknown value is left out, never 0."""
Bins = Mapping[Row, tuple[Sequence[float], float]]
"""Counts per bucket (not cumulative, the last is +Inf) and their sum, by label row."""


class Board:
    """Keep families of one sink equal to whole sets of rows."""

    def __init__(self, *, sink: ProgramSeries, specs: Iterable[MetricSpec]) -> None:
        self._sink = sink
        self._handles = {spec.name: sink.declare(spec) for spec in specs}
        self._shown: dict[str, dict[Row, int]] = {name: {} for name in self._handles}

    def show(self, name: str, rows: Rows) -> None:
        """Make these rows all that a counter or gauge shows."""
        ids = self._ids(name, rows)
        self._sink.set(ids, np.fromiter(rows.values(), np.float64, len(rows)))

    def show_bins(self, name: str, rows: Bins) -> None:
        """Make these rows all that a histogram shows."""
        ids = self._ids(name, rows)
        if rows:
            counts, sums = zip(*rows.values(), strict=True)
            self._sink.set_bins(ids, np.array(counts, np.float64), np.array(sums, np.float64))

    def _ids(self, name: str, rows: Mapping[Row, object]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        shown = self._shown[name]
        fresh = [row for row in rows if row not in shown]
        if fresh:
            shown.update(zip(fresh, self._sink.intern(self._handles[name], fresh).tolist(), strict=True))
        if len(shown) > len(rows):
            gone = [row for row in shown if row not in rows]
            self._sink.remove(np.array([shown.pop(row) for row in gone], np.int64))
        return np.array([shown[row] for row in rows], np.int64)
