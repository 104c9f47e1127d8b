"""Totals by label row that never go down, fed from the counters of a kernel map's entries.

The kernel's counters are the truth about bytes; who an entry belongs to may change. So each entry's increase is added
to the row it belongs to now, and what was added stays. After a crash the same sums come out again as long as it is
known which row every entry belonged to: a ledger must be kept (`save`) before totals are shown whenever `post` says
that an entry was placed anew. Growth in place needs no saving.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conductor.builtin.kit.keys import KeyTable, Slots

__all__ = ["NOWHERE", "Ledger", "Origin", "Reading", "Row"]

Row = tuple[str, ...]
Counts = NDArray[np.uint64]
NOWHERE = -1
"""Row of an entry that is not shown."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A map as it was read: one element per entry."""

    slots: Slots
    seen: Counts
    more: Counts
    """What each counter grew since the reading before."""
    changed: NDArray[np.bool_]


class Origin:
    """The entries of one kernel map: what of each was counted, for which row, and when it last grew."""

    def __init__(self, *, width: int, counters: int) -> None:
        self.keys = KeyTable(width=width)
        self.seen: Counts = np.zeros((0, counters), np.uint64)
        self.row: Slots = np.empty(0, np.int64)
        self.grew: NDArray[np.float64] = np.empty(0)

    def reading(self, keys: memoryview | bytes, values: Counts, now: float) -> Reading:
        """Compare a map's entries with what was counted of them; nothing is counted yet."""
        slots = self.keys.slots(keys)
        self._grow(len(self.keys), now)
        before = self.seen[slots]
        # A counter below what was seen belongs to an entry that was deleted and made again.
        again = np.any(values < before, axis=1)
        more = np.where(again[:, None], values, values - before)
        return Reading(slots, values, more, np.any(more > 0, axis=1))

    def keep(self, kept: NDArray[np.bool_]) -> None:
        """Forget entries that are no longer in the map."""
        self.keys.keep(kept)
        self.seen, self.row, self.grew = self.seen[kept], self.row[kept], self.grew[kept]

    def _grow(self, size: int, now: float) -> None:
        added = size - len(self.row)
        if added:
            self.seen = np.concatenate([self.seen, np.zeros((added, self.seen.shape[1]), np.uint64)])
            self.row = np.concatenate([self.row, np.full(added, NOWHERE, np.int64)])
            self.grew = np.concatenate([self.grew, np.full(added, now)])


class Ledger:
    """The totals of one program, and of which of them each entry of its map is a part."""

    def __init__(self, *, width: int, counters: int) -> None:
        self.origin = Origin(width=width, counters=counters)
        self.width, self.counters = width, counters
        self.rows: dict[Row, int] = {}
        self.totals: Counts = np.zeros((0, counters), np.uint64)
        self.touched: NDArray[np.float64] = np.empty(0)
        self.losses: list[int] = []
        self.losses_seen: list[int] = []
        self.numbering = 0
        """Rises whenever rows are numbered anew."""
        self.subtract_first = False
        """The first reading is where counting starts: what was counted before is not known."""
        self.resumed = False
        """Entries of a crashed predecessor: what they grew in the meantime belongs where they were."""
        self.unsaved = True
        self.saved_at = -np.inf

    def row_numbers(self, rows: Sequence[Row], now: float) -> Slots:
        """Numbers of rows, made where new with totals of 0."""
        numbers = np.array([self.rows.setdefault(row, len(self.rows)) for row in rows], np.int64)
        added = len(self.rows) - len(self.totals)
        if added:
            self.totals = np.concatenate([self.totals, np.zeros((added, self.counters), np.uint64)])
            self.touched = np.concatenate([self.touched, np.full(added, now)])
        return numbers

    def lose(self, losses: Sequence[int]) -> bool:
        """Take the kernel half's count of losses; tell whether it grew."""
        missing = len(losses) - len(self.losses)
        self.losses, self.losses_seen = [*self.losses, *[0] * missing], [*self.losses_seen, *[0] * missing]
        more = [now - before for now, before in zip(losses, self.losses_seen, strict=True)]
        self.losses = [total + grown for total, grown in zip(self.losses, more, strict=True)]
        self.losses_seen = list(losses)
        return any(more)

    def due(self, reading: Reading, *, also: NDArray[np.bool_]) -> Slots:
        """Tell which entries of a reading must be placed before it is posted: those that grew, and `also`."""
        wanted = reading.changed | also
        if self.resumed:
            wanted &= self.origin.row[reading.slots] == NOWHERE
        return np.flatnonzero(wanted)

    def post(self, reading: Reading, due: Slots, rows: Slots, now: float) -> None:
        """Place the entries `due` (indices of the reading) in `rows`, then count the whole reading."""
        origin, slots = self.origin, reading.slots
        if np.any(origin.row[slots[due]] != rows):
            origin.row[slots[due]] = rows
            self.unsaved = True
        if not self.subtract_first:
            place = origin.row[slots]
            counted = reading.changed & (place != NOWHERE)
            np.add.at(self.totals, place[counted], reading.more[counted])
            self.touched[place[counted]] = now
        self.subtract_first = self.resumed = False
        origin.seen[slots] = reading.seen
        origin.grew[slots[reading.changed]] = now

    def drop(self, gone: NDArray[np.bool_]) -> None:
        """Forget rows; entries that belonged to one are placed anew when they grow."""
        numbers = np.where(gone, NOWHERE, np.cumsum(~gone) - 1)
        self.rows = {row: int(numbers[n]) for row, n in self.rows.items() if not gone[n]}
        self.totals, self.touched = self.totals[~gone], self.touched[~gone]
        shown = self.origin.row != NOWHERE
        self.origin.row[shown] = numbers[self.origin.row[shown]]
        self.numbering += 1
        self.unsaved = True
