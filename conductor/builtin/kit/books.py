"""The ledger of a program, shared by its instances and kept in its state cell."""

from __future__ import annotations

import time
import weakref
from dataclasses import dataclass
from pathlib import Path

from conductor.builtin.kit.ledger import Ledger, Origin
from conductor.builtin.kit.ledger_file import restore, save
from conductor.errors import ConductorError
from conductor.ports import MapHandle, ProgramContext, SeriesSink

__all__ = ["Books", "Shelf"]

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
SAVE_EVERY = 60.0
"""Seconds between saves when no entry changed its row."""


@dataclass(slots=True, weakref_slot=True)
class Shelf:
    """What the instances of one program share."""

    ledger: Ledger
    side: Ledger
    """Totals that are not saved: they are as old as the kernel half."""
    reader: object = None
    """The instance that reads and writes; the others stand by."""


_SHELVES: weakref.WeakKeyDictionary[SeriesSink, Shelf] = weakref.WeakKeyDictionary()
"""By sink: a sink lives as long as its program is loaded, whichever instance runs."""


class Books:
    """One instance's hand on the shared ledger."""

    def __init__(self, *, context: ProgramContext, origin: str, shelf: Shelf) -> None:
        self._context, self._name, self._shelf = context, origin, shelf
        self._save_next = 0.0
        self._has_led = False
        self._warned = ""

    @classmethod
    def of(cls, context: ProgramContext, table: MapHandle, *, width: int, counters: int) -> Books:
        """Take up the totals of an earlier run, or of the instance that this one takes over from."""
        origin = f"{BOOT_ID.read_text(encoding='ascii').strip()}/{table.info.id}"
        shelf = _SHELVES.get(context.series)
        if shelf is None:
            now = time.monotonic()
            ledger = restore(context.state.load(), origin=origin, width=width, counters=counters, now=now)
            shelf = _SHELVES[context.series] = Shelf(ledger, Ledger(width=4, counters=1))
        books = cls(context=context, origin=origin, shelf=shelf)
        if shelf.ledger.subtract_first:
            books.warn("the saved totals cannot be read: counting starts now")
        return books

    @property
    def ledger(self) -> Ledger:
        """Totals; hold `ledger.lock`."""
        return self._shelf.ledger

    @property
    def side(self) -> Ledger:
        """Totals that are not saved; under the same lock."""
        return self._shelf.side

    @property
    def origin(self) -> Origin:
        """Entries of this instance's map."""
        return self.ledger.origin(self._name)

    @property
    def side_origin(self) -> Origin:
        """Entries of the map behind `side`."""
        return self.side.origin(self._name)

    def lead(self) -> bool:
        """Tell whether this instance reads: the newest does; an older one takes up again if that one ends."""
        if not self._has_led or self._shelf.reader is None:
            self._shelf.reader, self._has_led = self, True
        return self._shelf.reader is self

    def keep(self, now: float) -> None:
        """Save if a crash could mix up what is shown next, or when it is time."""
        if self.ledger.unsaved or now >= self._save_next:
            self._save(is_final=False)
            self._save_next = now + SAVE_EVERY

    def close(self) -> None:
        """Save final totals, unless another instance has taken over."""
        with self.ledger.lock:
            if self._shelf.reader is self:
                self._shelf.reader = None
                self._save(is_final=True)

    def warn(self, message: str) -> None:
        """Log a warning, once until there is another."""
        if message != self._warned:
            self._context.log("warning", message)
            self._warned = message

    def _save(self, *, is_final: bool) -> None:
        ledger, _ = self.ledger, self.origin
        try:
            self._context.state.store(save(ledger, self._name, is_final=is_final))
        except ConductorError as error:
            # Showing goes on: only a crash before the next save could make a series of new entries fall back.
            self.warn(f"totals are not saved: {error}")
            return
        ledger.unsaved, ledger.saved_at = False, time.monotonic()
