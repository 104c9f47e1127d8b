"""The agent's state directory: wishes per source, small state of programs, objects by digest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from conductor.builtin import object_path
from conductor.managers.cells import CellFiles
from conductor.managers.objects import ObjectStore
from conductor.managers.wishes import WishFiles

__all__ = ["StateDir"]


class StateDir:
    """Own `wishes/`, `cells/` and `objects/` below one directory; nothing else writes there.

    `objects` is what the kernel half takes as its object files, and where uploads go.
    """

    def __init__(self, *, root: Path, builtin_path: Callable[[str], Path] = object_path) -> None:
        self.root = root
        self.wishes = WishFiles(root=root / "wishes")
        self.cells = CellFiles(root=root / "cells")
        self.objects = ObjectStore(root=root / "objects", builtin_path=builtin_path)

    @classmethod
    @contextmanager
    def opened(cls, root: Path) -> Iterator[Self]:
        """Make the directory where it is missing. Raises `StateUnwritable` when it cannot be had."""
        self = cls(root=root)
        self.prepare()
        yield self

    def prepare(self) -> None:
        """Make the directories, drop what an earlier run left half-written. Raises `StateUnwritable`."""
        self.wishes.prepare()
        self.cells.prepare()
        self.objects.prepare()
