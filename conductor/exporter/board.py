"""The agent's own families: what is told is shown, what is told no more leaves the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from conductor.exporter.sink import ProgramSeries
from conductor.exporter.table import Row, Slots
from conductor.model.metrics import MetricSpec

__all__ = ["Bins", "Board", "Rows"]

_NONE: Slots = np.empty(0, np.int64)
Values = NDArray[np.float64]
Rows = Mapping[Row, float]
"""Values by label row; an unknown value is left out, never 0."""
Bins = Mapping[Row, tuple[Sequence[float], float]]
"""Counts per bucket (not cumulative, the last is +Inf) and their sum, by label row."""


class Board:
    """Keep families of one sink equal to whole sets of rows."""

    def __init__(self, *, sink: ProgramSeries, specs: Iterable[MetricSpec]) -> None:
        self._sink = sink
        self._handles = {spec.name: sink.declare(spec) for spec in specs}
        self._shown: dict[str, tuple[list[Row], Slots]] = {name: ([], _NONE) for name in self._handles}
        """Rows of each family, in the order in which they were told last, and their ids."""

    def show(self, name: str, rows: Rows) -> None:
        """Make these rows all that a counter or gauge shows."""
        self.fill(name, list(rows), np.fromiter(rows.values(), np.float64, len(rows)))

    def fill(self, name: str, rows: list[Row], values: Values) -> None:
        """As `show`, with a value for each row; rows that are the same objects as before are cheap."""
        self._sink.set(self._ids(name, rows), values)

    def show_bins(self, name: str, rows: Bins) -> None:
        """Make these rows all that a histogram shows."""
        ids = self._ids(name, list(rows))
        if rows:
            counts, sums = zip(*rows.values(), strict=True)
            self._sink.set_bins(ids, np.array(counts, np.float64), np.array(sums, np.float64))

    def _ids(self, name: str, told: list[Row]) -> Slots:
        # Lists, not dictionaries: thousands of programs have their rows here, which seldom change.
        shown, ids = self._shown[name]
        if told == shown:
            return ids
        present = set(told)
        gone = [at for at, row in enumerate(shown) if row not in present]
        if gone:
            self._sink.remove(ids[gone])
        fresh = self._sink.intern(self._handles[name], told)
        same = dict(zip(shown, shown, strict=True))  # the sink has the rows of first sight: keep no second ones
        self._shown[name] = ([same.get(row, row) for row in told], fresh)
        return fresh
