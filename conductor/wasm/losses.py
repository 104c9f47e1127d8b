"""What the kernel half could not put into a ring, by its own counter: entry 0 of an array that the module names."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping

from conductor.errors import ConductorError
from conductor.model.ids import MapId
from conductor.ports import MapHandle

__all__ = ["KernelLosses", "LossCounters"]

log = logging.getLogger(__name__)


class KernelLosses:
    """Count since the first look, or since that of the instance before.

    Used by the thread that runs the program, like every map of it.
    """

    __slots__ = ("_handle", "count", "last")

    def __init__(self, handle: MapHandle, last: int | None = None) -> None:
        self._handle, self.last = handle, last
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
        if self.last is not None:
            self.count += max(0, total - self.last)
        self.last = total


class LossCounters:
    """The counters of one instance's streams; streams may share one."""

    __slots__ = ("_by_map", "_is_held", "_lock", "_streams")

    def __init__(self, counters: Mapping[str, MapHandle], last: Mapping[MapId, int] | None = None) -> None:
        last = last or {}
        self._by_map = {one.info.id: KernelLosses(one, last.get(one.info.id)) for one in counters.values()}
        self._streams = {stream: self._by_map[handle.info.id] for stream, handle in counters.items()}
        self._lock = threading.Lock()
        self._is_held = False
        """Another instance counts."""

    def look(self) -> None:
        """Read all counters."""
        with self._lock:
            for one in self._by_map.values() if not self._is_held else ():
                one.look()

    def begin_after(self, other: LossCounters) -> None:
        """Count from where another stands, which then counts no more."""
        with other._lock, self._lock:
            other._is_held = True
            for map_id, one in self._by_map.items():
                if (before := other._by_map.get(map_id)) is not None:
                    one.last, one.count = before.last, 0

    def go_on_after(self, other: LossCounters) -> None:
        """Count again from where another stands, with what it counted."""
        with other._lock, self._lock:
            self._is_held, other._is_held = False, True
            for map_id, one in self._by_map.items():
                if (after := other._by_map.get(map_id)) is not None:
                    one.last, one.count, after.count = after.last, one.count + after.count, 0

    def total(self) -> int | None:
        """Answer the losses of all streams; None where none is counted."""
        return sum(one.count for one in self._by_map.values()) if self._by_map else None

    def of(self, stream: str) -> int | None:
        """Answer the losses of a stream; None where they are not counted."""
        found = self._streams.get(stream)
        return None if found is None else found.count

    @property
    def last(self) -> dict[MapId, int]:
        """What each counter said last, for the next instance to go on from."""
        return {map_id: one.last for map_id, one in self._by_map.items() if one.last is not None}
