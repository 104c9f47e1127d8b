"""The ledger of a program and its place in the state cell."""

from __future__ import annotations

import time
from pathlib import Path

from conductor.builtin.kit.ledger import Ledger
from conductor.builtin.kit.ledger_file import restore, save
from conductor.errors import ConductorError
from conductor.ports import MapHandle, ProgramContext

__all__ = ["Books"]

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
SMALL = 64 << 10
"""Bytes of a state that is saved at every tick."""
SAVE_EVERY = 60.0
"""Seconds between saves of a larger one when no entry changed its row."""


class Books:
    """Keep one ledger: save it before what it says is shown."""

    def __init__(self, *, context: ProgramContext, ledger: Ledger, origin: str) -> None:
        self.ledger = ledger
        self._context, self._name = context, origin
        self._size, self._save_next = 0, 0.0
        self._warned = ""

    @classmethod
    def of(cls, context: ProgramContext, table: MapHandle, *, width: int, counters: int) -> Books:
        """Take up the totals of an earlier run, for a map that may be another than it had."""
        origin = f"{BOOT_ID.read_text(encoding='ascii').strip()}/{table.info.id}"
        state, now = context.state.load(), time.monotonic()
        ledger = restore(state, origin=origin, width=width, counters=counters, now=now)
        books = cls(context=context, ledger=ledger, origin=origin)
        if ledger.subtract_first:
            books.warn("the saved totals cannot be read: counting starts now")
        return books

    def keep(self, now: float) -> None:
        """Save what is about to be shown.

        A large ledger is saved only where a crash could mix it up, or when it is time; counting starts at 0 should
        it crash and lose its map too.
        """
        if self.ledger.unsaved or self._size <= SMALL or now >= self._save_next:
            self._save(is_final=self._size <= SMALL)
            self._save_next = now + SAVE_EVERY

    def close(self) -> None:
        """Save final totals."""
        self._save(is_final=True)

    def warn(self, message: str) -> None:
        """Log a warning, once until there is another."""
        if message != self._warned:
            self._context.log("warning", message)
            self._warned = message

    def _save(self, *, is_final: bool) -> None:
        state = save(self.ledger, self._name, is_final=is_final)
        if is_final and self._size <= SMALL < len(state):
            # It has just outgrown that: it may not be saved again before more is shown.
            state = save(self.ledger, self._name, is_final=False)
        self._size = len(state)
        try:
            self._context.state.store(state)
        except ConductorError as error:
            # Showing goes on: only a crash before the next save could make a series fall back.
            self.warn(f"totals are not saved: {error}")
            return
        self.ledger.unsaved, self.ledger.saved_at = False, time.monotonic()
