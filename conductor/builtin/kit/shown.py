"""The series of a ledger's rows: a counter per column, and one gauge."""

from __future__ import annotations

from itertools import islice

import numpy as np

from conductor.builtin.kit.keys import Slots
from conductor.builtin.kit.ledger import Ledger
from conductor.model.metrics import MetricSpec
from conductor.ports import SeriesSink

__all__ = ["Shown"]


class Shown:
    """Write a ledger's rows to a sink; keeps the ids of what it wrote."""

    def __init__(self, *, series: SeriesSink, counters: tuple[MetricSpec, ...], gauge: MetricSpec) -> None:
        self._series = series
        self._handles = [series.declare(metric) for metric in (*counters, gauge)]
        self._ids: Slots = np.empty((len(self._handles), 0), np.int64)
        self._gauge = np.empty(0, np.int64)
        self._numbering = -1

    def write(self, ledger: Ledger, gauge: Slots, now: float, *, anew: bool) -> None:
        """Write rows that grew at `now`, or whose gauge is or was above 0; every row if `anew`."""
        if anew or self._numbering != ledger.numbering:
            self._ids, self._gauge, self._numbering = self._ids[:, :0], self._gauge[:0], ledger.numbering
        fresh = list(islice(ledger.rows, self._ids.shape[1], None))
        if fresh:
            self._ids = np.hstack([self._ids, [self._series.intern(handle, fresh) for handle in self._handles]])
        before = np.full(len(gauge), -1, np.int64)
        before[: len(self._gauge)] = self._gauge
        self._gauge = gauge
        ledger.touched[gauge > 0] = now
        written = (ledger.touched == now) | (gauge != before)
        for column, ids in enumerate(self._ids[:-1]):
            self._series.set(ids[written], ledger.totals[written, column].astype(np.float64))
        self._series.set(self._ids[-1][written], gauge[written].astype(np.float64))

    def expire(self, ledger: Ledger, before: float) -> None:
        """Remove rows that were not touched since `before`, here and in the ledger."""
        gone = ledger.touched < before
        if gone.any():
            self._series.remove(self._ids[:, gone].ravel())
            ledger.drop(gone)
