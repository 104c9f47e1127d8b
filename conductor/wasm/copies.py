"""Memory of what was copied out of rings: large pieces are used again, as fresh pages cost more than the copy."""

from __future__ import annotations

import weakref
from collections import deque
from typing import Any, Final

import numpy as np

from conductor.wasm.memory import move

__all__ = ["Copies", "Copy"]

KEPT: Final = 4
"""Free memories that are kept while records flow."""
SMALL: Final = 64 << 10
"""Below this a copy has memory of its own, as large as it is."""


class Copy:
    """Bytes that several programs may share: alive, and at this address, as long as somebody holds it."""

    __slots__ = ("__weakref__", "_memory", "address")

    def __init__(self, memory: Any, address: int) -> None:
        self._memory, self.address = memory, address


class Copies:
    """Make copies. Used by one thread; copies may be let go on any."""

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._free: deque[Any] = deque(maxlen=KEPT)

    def copied(self, address: int, size: int) -> Copy:
        """Copy bytes from an address; at most `most`."""
        memory = self._memory(size)
        copy = Copy(memory, memory.ctypes.data)
        move(copy.address, address, size)
        if size >= SMALL:
            weakref.finalize(copy, self._free.append, memory).atexit = False
        return copy

    def forget(self) -> None:
        """Give free memory back to the system."""
        self._free.clear()

    def _memory(self, size: int) -> Any:
        if size < SMALL:
            return np.empty(size, np.uint8)
        try:
            return self._free.pop()
        except IndexError:
            return np.empty(self._most, np.uint8)
