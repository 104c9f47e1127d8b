"""The series of a ledger's rows: a counter per column, and one gauge."""

from __future__ import annotations

from itertools import islice

import numpy as np

from conductor.builtin.kit.keys import Slots
from conductor.builtin.kit.ledger import Ledger, Row
from conductor.model.metrics import MetricSpec
from conductor.ports import SeriesSink

__all__ = ["Shown"]

REFUSED = -1
AT_ONCE = 8
"""Rows interned together: few, so that a budget refuses whole rows rather than one metric of many."""


class Shown:
    """Write a ledger's rows to a sink; keeps the ids of what it wrote."""

    def __init__(self, *, series: SeriesSink, counters: tuple[MetricSpec, ...], gauge: MetricSpec) -> None:
        self._series = series
        self._handles = [series.declare(metric) for metric in (*counters, gauge)]
        self._ids: Slots = np.empty((0, len(self._handles)), np.int64)
        self._gauge = np.empty(0, np.int64)

    def write(self, ledger: Ledger, gauge: Slots, now: float, *, again: bool) -> None:
        """Write rows that grew at `now`, or whose gauge is or was above 0; every row if `again`."""
        fresh = list(islice(ledger.rows, len(self._ids), None))
        self._ids = np.concatenate([self._ids, self._interned(fresh)])
        before = np.full(len(gauge), -1, np.int64)
        if again:
            self._retry(ledger)
        else:
            before[: len(self._gauge)] = self._gauge
        self._gauge = gauge
        ledger.touched[gauge > 0] = now
        written = (ledger.touched == now) | (gauge != before)
        ids = self._ids[written]
        for column in range(ledger.counters):
            self._series.set(ids[:, column], ledger.totals[written, column].astype(np.float64))
        self._series.set(ids[:, -1], gauge[written].astype(np.float64))

    def expire(self, ledger: Ledger, before: float) -> None:
        """Remove rows that were not touched since `before`, here and in the ledger."""
        gone = ledger.touched < before
        if gone.any():
            self._series.remove(self._ids[gone].ravel())
            self._ids, self._gauge = self._ids[~gone], self._gauge[~gone]
            ledger.drop(gone)

    def _interned(self, rows: list[Row]) -> Slots:
        """Ids of rows; once the budget refuses one, the rows behind it are not asked for."""
        ids = np.full((len(rows), len(self._handles)), REFUSED, np.int64)
        for low in range(0, len(rows), AT_ONCE):
            some = rows[low : low + AT_ONCE]
            ids[low : low + AT_ONCE] = np.stack([self._series.intern(h, some) for h in self._handles], axis=1)
            if (ids[low : low + AT_ONCE] == REFUSED).any():
                break
        return ids

    def _retry(self, ledger: Ledger) -> None:
        """Ask again for rows that the budget refused: others may have gone."""
        refused = np.flatnonzero(np.any(self._ids == REFUSED, axis=1))
        if refused.size:
            rows = list(ledger.rows)
            self._ids[refused] = self._interned([rows[index] for index in refused.tolist()])
