"""The agent's state directory: wishes per source, small state of programs, objects by digest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from conductor.managers.cells import CellFiles
from conductor.managers.objects import ObjectStore
from conductor.managers.wishes import WishFiles

__all__ = ["StateDir"]


class StateDir:
    """Own one agent's state directory; nothing else writes below it."""

    def __init__(self, *, root: Path) -> None:
        self.root = root
        self.wishes = WishFiles(root=root / "wishes")
        self.cells = CellFiles(root=root / "cells")
        self.objects = ObjectStore(root=root / "objects")

    @classmethod
    @contextmanager
    def opened(cls, root: Path) -> Iterator[Self]:
        """Make the directory where it is missing. Raises `StateUnwritable` when it cannot be had."""
        self = cls(root=root)
        self.wishes.prepare()
        self.cells.prepare()
        self.objects.prepare()
        yield self
