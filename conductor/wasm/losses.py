"""What the kernel half could not put into a ring, by its own counter: entry 0 of an array that the module names."""

from __future__ import annotations

import logging

from conductor.errors import ConductorError
from conductor.ports import MapHandle

__all__ = ["KernelLosses"]

log = logging.getLogger(__name__)


class KernelLosses:
    """Count since the first look. Used by the thread that runs the program, like every map of it."""

    __slots__ = ("_first", "_handle", "count")

    def __init__(self, handle: MapHandle) -> None:
        self._handle = handle
        self._first: int | None = None
        self.count = 0

    def look(self) -> None:
        """Read the counter; a map that cannot be read leaves the count as it was."""
        try:
            value = self._handle.lookup(bytes(self._handle.info.key_size)) or b""
        except (ConductorError, ValueError):
            log.debug("a counter of losses cannot be read", exc_info=True)
            return
        info = self._handle.info
        width = info.stride // info.cpus
        slots = (value[i * width : i * width + min(8, info.value_size)] for i in range(info.cpus))
        total = sum(int.from_bytes(slot, "little") for slot in slots)
        if self._first is None:
            self._first = total
        self.count = max(self.count, total - self._first)
