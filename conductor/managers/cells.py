"""Small durable state of user programs: one checked file each."""

from __future__ import annotations

import zlib
from contextlib import suppress
from pathlib import Path

from conductor.errors import BudgetExceeded
from conductor.managers.durable import keep_aside, make_directory, write_whole
from conductor.model.ids import Name

__all__ = ["Cell", "CellFiles"]

CELL_BYTES = 8 << 20
_MAGIC = b"cell1\n"


class Cell:
    """One program's state (ports.StateCell). A write survives kill -9; after a power cut it is whole or gone."""

    def __init__(self, *, path: Path) -> None:
        self._path = path

    def load(self) -> bytes | None:
        """Answer what was stored last; None when nothing was, or when it cannot be trusted (then kept aside)."""
        try:
            raw = self._path.read_bytes()
        except OSError:
            return None
        head, state = raw[: len(_MAGIC) + 4], raw[len(_MAGIC) + 4 :]
        if head != _MAGIC + zlib.crc32(state).to_bytes(4, "big"):
            keep_aside(self._path)
            return None
        return state

    def store(self, state: bytes) -> None:
        """Replace the state. Raises `BudgetExceeded` past 8 MiB, `StateUnwritable` when the disk refuses."""
        if len(state) > CELL_BYTES:
            raise BudgetExceeded(f"state of {len(state)} bytes is past {CELL_BYTES >> 20} MiB; keep less")
        # No fsync: kill -9 does not lose what the kernel has, and the checksum tells a torn file after a power cut.
        write_whole(self._path, _MAGIC + zlib.crc32(state).to_bytes(4, "big") + state, durable=False)


class CellFiles:
    """Own `cells/`."""

    def __init__(self, *, root: Path) -> None:
        self._root = root

    def prepare(self) -> None:
        """Make the directory; drop what was half-written when an earlier run was killed."""
        make_directory(self._root)
        for left in self._root.glob(".*-*"):
            with suppress(OSError):
                left.unlink()

    def cell(self, name: Name) -> Cell:
        """Answer a program's cell; names are safe as file names."""
        return Cell(path=self._root / f"{name}.state")

    def forget(self, name: Name) -> None:
        """Empty a program's cell."""
        with suppress(OSError):
            (self._root / f"{name}.state").unlink()
