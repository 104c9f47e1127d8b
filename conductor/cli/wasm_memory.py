"""Maps and rings in plain memory, for replays: to a program they are what the kernel's are (`ports.MapHandle`)."""

from __future__ import annotations

import ctypes
import itertools
import os
import struct
import threading
from collections.abc import Sequence
from typing import Self

from conductor.errors import BudgetExceeded, KernelRefused, NotSupported
from conductor.model.grants import MapInfo, MapType
from conductor.ports import Cursor, Entries

__all__ = ["MemoryMap", "MemoryRing"]

_ARRAYS = (MapType.ARRAY, MapType.PERCPU_ARRAY)
_NOEXIST, _EXIST = 1, 2


class MemoryRing:
    """A ring buffer in memory; the data area is written twice, so that no record wraps for its reader."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._memory = ctypes.create_string_buffer(2 * size + 8)
        self._start = (ctypes.addressof(self._memory) + 7) // 8 * 8
        self._consumed = self._produced = 0
        self._lock = threading.Lock()
        self._event = os.eventfd(0, os.EFD_NONBLOCK)

    @property
    def size(self) -> int:
        """Bytes of the data area."""
        return self._size

    @property
    def data(self) -> int:
        """Address of the data area."""
        return self._start

    @property
    def is_empty(self) -> bool:
        """Whether everything was taken."""
        return self._consumed == self._produced

    def positions(self) -> tuple[int, int]:
        """Consumer and producer position."""
        return self._consumed, self._produced

    def push(self, record: bytes) -> bool:
        """Put a record in, committed; False while there is no room. Raises `BudgetExceeded` if there never is."""
        whole = struct.pack("<II", len(record), 0) + record + bytes(-len(record) % 8)
        if len(whole) > self._size:
            raise BudgetExceeded(f"a record of {len(record)} bytes never fits a ring of {self._size}")
        with self._lock:
            if self._produced + len(whole) - self._consumed > self._size:
                return False
            at = self._produced % self._size
            ctypes.memmove(self._start + at, whole, len(whole))
            twin = min(len(whole), self._size - at)
            ctypes.memmove(self._start + at + self._size, whole, twin)
            if twin < len(whole):
                ctypes.memmove(self._start, whole[twin:], len(whole) - twin)
            self._produced += len(whole)
            os.eventfd_write(self._event, 1)
        return True

    def commit(self, consumer: int) -> None:
        """Give everything before `consumer` back."""
        with self._lock:
            if not self._consumed <= consumer <= self._produced:
                raise ValueError(f"position {consumer} lies outside {self._consumed}..{self._produced}")
            self._consumed = consumer
            if self.is_empty:
                os.eventfd_read(self._event)

    def fileno(self) -> int:
        """Descriptor that polls readable while records wait."""
        return self._event

    def close(self) -> None:
        """Do nothing: the ring is its map's, which ends it."""

    def end(self) -> None:
        """Give up the descriptor; once."""
        event, self._event = self._event, -1
        if event >= 0:
            os.close(event)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class MemoryMap:
    """A map in memory. Used by one thread at a time, but for `replace` between its calls."""

    def __init__(self, info: MapInfo) -> None:
        self._info = info
        self._entries: dict[bytes, bytes] = {}
        self._walks: dict[bytes, tuple[list[tuple[bytes, bytes]], int]] = {}
        self._numbers = itertools.count(1)
        self.opened_ring: MemoryRing | None = None

    @property
    def info(self) -> MapInfo:
        """What the recording says of it."""
        return self._info

    def replace(self, entries: Sequence[tuple[bytes, bytes]]) -> None:
        """Make this the whole content."""
        self._entries = dict(entries)

    def entries(self) -> Entries:
        """Copy the whole map."""
        found = self._all()
        keys, values = (b"".join(part) for part in zip(*found, strict=True)) if found else (b"", b"")
        return Entries(len(found), memoryview(keys), memoryview(values))

    def lookup(self, key: bytes) -> bytes | None:
        """Answer one value."""
        if self._info.type in _ARRAYS and int.from_bytes(key, "little") < self._info.max_entries:
            return self._entries.get(key, bytes(self._info.stride))
        return self._entries.get(key)

    def update(self, key: bytes, value: bytes) -> None:
        """Write one value. Raises `KernelRefused` when the map is full."""
        if key not in self._entries and len(self._entries) >= self._info.max_entries > 0:
            raise KernelRefused(f"map {self._info.name} is full")
        self._entries[key] = value

    def delete(self, key: bytes) -> bool:
        """Delete one entry. Raises `NotSupported` for arrays, whose entries stay."""
        if self._info.type in _ARRAYS:
            raise NotSupported(f"entries of {self._info.type.value} {self._info.name} cannot be deleted")
        return self._entries.pop(key, None) is not None

    def batch_into(self, cursor: Cursor, keys: int, values: int, room: int) -> int:
        """Write up to `room` entries at two addresses."""
        rest, at = self._walks.pop(cursor.token) if cursor.token in self._walks else (self._all(), 0)
        piece = rest[at : at + room]
        for i, (key, value) in enumerate(piece):
            ctypes.memmove(keys + i * self._info.key_size, key, len(key))
            ctypes.memmove(values + i * self._info.stride, value, len(value))
        at += len(piece)
        cursor.done = at >= len(rest)
        cursor.token = b""
        if not cursor.done:
            cursor.token = next(self._numbers).to_bytes(8, "little")
            self._walks[cursor.token] = (rest, at)
        return len(piece)

    def lookup_into(self, key: int, value: int) -> bool:
        """Write one value at an address."""
        found = self.lookup(ctypes.string_at(key, self._info.key_size))
        if found is not None:
            ctypes.memmove(value, found, len(found))
        return found is not None

    def update_from(self, key: int, value: int, flags: int) -> None:
        """Write one entry from two addresses. Raises `KernelRefused` where flags forbid it."""
        name = ctypes.string_at(key, self._info.key_size)
        is_there = self.lookup(name) is not None
        if (flags == _NOEXIST and is_there) or (flags == _EXIST and not is_there):
            raise KernelRefused(f"map {self._info.name}: the entry is {'there already' if is_there else 'not there'}")
        self.update(name, ctypes.string_at(value, self._info.stride))

    def delete_at(self, key: int) -> bool:
        """Delete one entry by its key's address."""
        return self.delete(ctypes.string_at(key, self._info.key_size))

    def pop_into(self, value: int) -> bool:
        """Take one element of a queue or stack. Raises `NotSupported`: they are not recorded."""
        del value
        raise NotSupported(f"{self._info.name}: queues and stacks are not recorded")

    def ring(self) -> MemoryRing:
        """Answer the ring. Raises `KernelRefused` for other maps."""
        if self._info.type is not MapType.RINGBUF:
            raise KernelRefused(f"map {self._info.name} is a {self._info.type}, not a ring buffer")
        if self.opened_ring is None:
            self.opened_ring = MemoryRing(self._info.max_entries)
        return self.opened_ring

    def close(self) -> None:
        """End the ring, if there is one."""
        if self.opened_ring is not None:
            self.opened_ring.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _all(self) -> list[tuple[bytes, bytes]]:
        if self._info.type not in _ARRAYS:
            return list(self._entries.items())
        numbers = (number.to_bytes(4, "little") for number in range(self._info.max_entries))
        return [(key, self._entries.get(key, bytes(self._info.stride))) for key in numbers]
