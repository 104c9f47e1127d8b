"""Live rows of one family of one program: label rows become slots of arrays, writes touch whole arrays.

A slot is FREE, KNOWN (interned, not on the page), SHOWN, or REMOVED (given back, its value kept until the ttl is
over, so that a counter that returns resumes). The owner calls everything here under its lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from conductor.exporter.numbers import Objects
from conductor.exporter.sheet import Delta, Sheet
from conductor.exporter.text import LineStarts
from conductor.model.metrics import MetricKind, MetricSpec

__all__ = ["Row", "Slots", "Table"]

Row = tuple[str, ...]
Slots = NDArray[np.int64]
Numbers = NDArray[np.float64]

_FREE, _KNOWN, _SHOWN, _REMOVED = range(4)
_ROWS_AT_FIRST: Final = 1
_NEVER: Final = -np.inf


@dataclass(slots=True)
class _Columns:
    """Arrays side by side, one element per slot; grown together."""

    values: Numbers
    state: NDArray[np.uint8]
    epoch: NDArray[np.uint16]
    dirty: NDArray[np.bool_]
    fresh: NDArray[np.bool_]
    touched: NDArray[np.bool_]
    written: Numbers
    starts: Objects

    @classmethod
    def of(cls, rows: int, *, columns: int, lines: int) -> _Columns:
        return cls(
            np.zeros((rows, columns)),
            np.zeros(rows, np.uint8),
            np.zeros(rows, np.uint16),
            np.zeros(rows, np.bool_),
            np.zeros(rows, np.bool_),
            np.zeros(rows, np.bool_),
            np.full(rows, _NEVER),
            np.full((rows, lines), None, object),
        )

    def copy_into(self, other: _Columns) -> None:
        rows = len(self.state)
        for name in self.__slots__:
            getattr(other, name)[:rows] = getattr(self, name)


class Table:
    """Hold the series of one family of one program."""

    __slots__ = (
        "_bounds",
        "_columns",
        "_free",
        "_line_starts",
        "_rows",
        "_width",
        "index",
        "lines",
        "sheet",
        "spec",
        "ttl",
        "wrote",
    )

    def __init__(self, spec: MetricSpec, *, program: str) -> None:
        self.spec = spec
        self.ttl = spec.ttl
        self.wrote = False
        """Whether anything was written since the last cut."""
        self.index: dict[Row, int] = {}
        self._line_starts = LineStarts(spec, program=program)
        self.lines = self._line_starts.lines
        self._bounds = _bounds_of(spec.buckets)
        self._width = len(spec.buckets) + 2 if spec.kind is MetricKind.HISTOGRAM else 1
        self._rows: list[Row | None] = []
        self._free: list[int] = []
        self._columns = _Columns.of(_ROWS_AT_FIRST, columns=self._width, lines=self.lines)
        self.sheet = Sheet(spec, lines=self.lines)

    @property
    def shown(self) -> int:
        """Series on the page, a histogram counted by its lines."""
        return int(np.count_nonzero(self._columns.state == _SHOWN)) * self.lines

    # --- rows and slots ---

    def admit(self, row: Row) -> int:
        """Give a new row a slot."""
        slot = self._free.pop() if self._free else len(self._rows)
        if slot == len(self._rows):
            self._rows.append(None)
            self._grow()
        self._rows[slot], self.index[row] = row, slot
        self._columns.state[slot], self._columns.written[slot] = _KNOWN, _NEVER
        self._columns.starts[slot] = self._line_starts.of(row)
        return slot

    def hold(self, slots: Slots) -> Slots:
        """Answer the ids (epoch and slot) of interned slots; rows that were given back are held again."""
        columns = self._columns
        hidden = slots[columns.state[slots] != _SHOWN]
        columns.state[hidden], columns.touched[hidden] = _KNOWN, True
        return (columns.epoch[slots].astype(np.int64) << 32) | slots

    def resolve(self, ids: Slots) -> tuple[Slots, NDArray[np.bool_]]:
        """Slots of ids and which of them are still alive (others are 0)."""
        slots = ids & 0xFFFFFFFF
        within = slots < len(self._rows)
        slots = np.where(within, slots, 0)
        columns = self._columns
        epochs = (ids >> 32) & 0xFFFF
        return slots, within & (columns.epoch[slots] == epochs) & (columns.state[slots] != _FREE)

    def remove(self, slots: Slots) -> int:
        """Take series off the page; answer how many slots came free at once (all, without a ttl)."""
        self._columns.state[slots] = _REMOVED
        self._columns.dirty[slots] = True
        self.wrote = True
        return 0 if self.ttl is not None else self._forget(np.array(sorted(set(slots.tolist())), np.int64))

    def reclaim(self) -> int:
        """Forget what is off the page because it was given back or has expired; answer how many slots came free."""
        columns = self._columns
        expired = (columns.state == _KNOWN) & (columns.written > _NEVER) & ~columns.touched
        return self._forget(np.flatnonzero(expired | (columns.state == _REMOVED)))

    def clear(self) -> int:
        """Forget every row; answer how many slots came free."""
        self.wrote = True
        return self._forget(np.flatnonzero(self._columns.state != _FREE))

    def _forget(self, slots: Slots) -> int:
        columns = self._columns
        for slot in slots.tolist():
            row = self._rows[slot]
            if row is not None:
                del self.index[row]
            self._rows[slot] = None
            self._free.append(slot)
        columns.state[slots], columns.values[slots], columns.starts[slots] = _FREE, 0.0, None
        columns.epoch[slots] += np.uint16(1)
        columns.dirty[slots], columns.fresh[slots], columns.touched[slots] = True, False, False
        return len(slots)

    def _grow(self) -> None:
        if len(self._rows) > len(self._columns.state):
            bigger = _Columns.of(2 * len(self._columns.state), columns=self._width, lines=self.lines)
            self._columns.copy_into(bigger)
            self._columns = bigger

    # --- writes ---

    def set(self, slots: Slots, values: Numbers) -> None:
        """Replace values."""
        column = self._columns.values[:, 0]
        # Bits are compared, not numbers: -0.0 is another text than 0.0, and an unchanged NaN is no change.
        changed = column[slots].view(np.int64) != values.view(np.int64)
        column[slots] = values
        self._mark(slots, changed)

    def add(self, slots: Slots, values: Numbers) -> None:
        """Add to values; a slot named twice gets both."""
        np.add.at(self._columns.values[:, 0], slots, values)
        self._mark(slots, values != 0)

    def observe(self, slots: Slots, values: Numbers) -> None:
        """Count each value in its bucket (bounds are inclusive; NaN falls into +Inf)."""
        rows = self._columns.values
        np.add.at(rows, (slots, np.searchsorted(self._bounds, values, side="left")), 1.0)
        np.add.at(rows[:, -1], slots, values)
        self._mark(slots, np.ones(len(slots), np.bool_))

    def merge(self, slots: Slots, rows: Numbers) -> None:
        """Add rows of bucket counts and their sum."""
        np.add.at(self._columns.values, slots, rows)
        self._mark(slots, np.any(rows != 0, axis=1))

    def set_bins(self, slots: Slots, rows: Numbers) -> None:
        """Replace rows of bucket counts and their sum."""
        changed = np.any(self._columns.values[slots] != rows, axis=1)
        self._columns.values[slots] = rows
        self._mark(slots, changed)

    def _mark(self, slots: Slots, changed: NDArray[np.bool_]) -> None:
        columns = self._columns
        hidden = slots[columns.state[slots] != _SHOWN]
        columns.state[hidden] = _SHOWN
        columns.fresh[hidden] = columns.dirty[hidden] = True
        columns.dirty[slots[changed]] = True
        columns.touched[slots] = True
        self.wrote = True

    # --- time and the page ---

    def expire(self, now: float) -> int:
        """Let go what was not written for the ttl; answer how many slots came free."""
        if self.ttl is None:
            return 0
        columns = self._columns
        columns.written[columns.touched] = now
        columns.touched[:] = False
        old = columns.written <= now - self.ttl
        stale = old & (columns.state == _SHOWN)
        columns.values[old & (columns.state != _SHOWN) | stale] = 0.0
        columns.state[stale] = _KNOWN
        columns.dirty |= stale
        self.wrote |= bool(stale.any())
        return self._forget(np.flatnonzero(old & (columns.state == _REMOVED)))

    def cut(self) -> Delta | None:
        """Copy what changed since the last cut; None when nothing did."""
        self.wrote = False
        columns = self._columns
        slots = np.flatnonzero(columns.dirty)
        if not slots.size:
            return None
        fresh = np.flatnonzero(columns.fresh)
        columns.dirty[slots] = columns.fresh[fresh] = False
        shown = columns.state[slots] == _SHOWN
        return Delta(len(self._rows), slots, shown, self._numbers(slots), fresh, columns.starts[fresh])

    def _numbers(self, slots: Slots) -> Numbers:
        """Numbers of each line: of a histogram, counts summed up from the left, then count and sum."""
        values = self._columns.values[slots]
        if self._width == 1:
            return values
        counts = np.cumsum(values[:, :-1], axis=1)
        if self.lines == counts.shape[1]:
            return counts
        return np.concatenate([counts, counts[:, -1:], values[:, -1:]], axis=1)


@lru_cache(maxsize=1_024)
def _bounds_of(buckets: tuple[float, ...]) -> Numbers:
    """Upper bounds of buckets: the same array for all programs that declare the same."""
    bounds = np.array(buckets, np.float64)
    bounds.flags.writeable = False
    return bounds
