"""Walk a whole map: by batches (BPF_MAP_LOOKUP_BATCH, kernel 5.6), else key by key.

A cursor's token is what the kernel gave as the next start: a bucket number for hash maps, a key for others. In a
key-by-key walk it is the last key, marked by a leading byte.
"""

from __future__ import annotations

import ctypes
import errno

import numpy as np
from numpy.typing import NDArray

from conductor.bpf.refusals import ENOTSUPP, refused
from conductor.bpf.syscall import Command, Elem, MapBatch, bpf
from conductor.errors import BudgetExceeded, KernelRefused
from conductor.model.grants import MapInfo
from conductor.ports import Cursor, Entries

__all__ = ["Walk", "all_entries"]

Bytes = NDArray[np.uint8]
_WITHOUT_BATCHES = (ENOTSUPP, errno.EOPNOTSUPP, errno.EINVAL)
_FIRST_BYTES = 16 << 20
"""Address space of the first batch of `all_entries`; pages that stay empty cost nothing. Later ones double."""
_MOST_BYTES = 64 << 20


class Walk:
    """Steps over one open map; the cursor belongs to the walker, this keeps the reused requests."""

    def __init__(self, *, fd: int, info: MapInfo) -> None:
        self.info = info
        self._fd = fd
        self._token = ctypes.create_string_buffer(max(8, info.key_size))
        self._next = ctypes.create_string_buffer(max(8, info.key_size))
        self._batch = MapBatch(map_fd=fd, out_batch=ctypes.addressof(self._next))
        self._has_batches: bool | None = None

    def step(self, cursor: Cursor, keys: int, values: int, room: int) -> int:
        """Read up to `room` entries to two addresses. Raises `BudgetExceeded`, `KernelRefused`, `NotSupported`."""
        if cursor.done or room < 1:
            return 0
        if self._has_batches is not False:
            count = self._by_batch(cursor, keys, values, room)
            if count is not None:
                self._has_batches = True
                return count
            self._has_batches = False
        return self._by_key(cursor, keys, values, room)

    def _by_batch(self, cursor: Cursor, keys: int, values: int, room: int) -> int | None:
        """Make one batch call; None where this map has no batches."""
        batch = self._batch
        batch.keys, batch.values, batch.count, batch.in_batch = keys, values, room, 0
        if cursor.token:
            ctypes.memmove(self._token, cursor.token, min(len(cursor.token), len(self._token)))
            batch.in_batch = ctypes.addressof(self._token)
        try:
            bpf(Command.MAP_LOOKUP_BATCH, batch)
        except OSError as error:
            return self._batch_ended(error, cursor, room)
        cursor.token = self._next.raw
        return int(batch.count)

    def _batch_ended(self, error: OSError, cursor: Cursor, room: int) -> int | None:
        if error.errno == errno.ENOENT:  # the end; what fitted is there
            cursor.done = True
            return int(self._batch.count)
        if error.errno in _WITHOUT_BATCHES and self._has_batches is None:
            return None
        if error.errno == errno.EINTR and self._batch.count:  # entries vanished under the kernel's eyes; go on
            cursor.token = self._next.raw
            return int(self._batch.count)
        if error.errno == errno.ENOSPC:
            name = self.info.name
            raise BudgetExceeded(
                f"a bucket of map {name} holds more than {room} entries: give twice the room"
            ) from error
        raise refused(error, f"reading map {self.info.name} in batches failed") from error

    def _by_key(self, cursor: Cursor, keys: int, values: int, room: int) -> int:
        """Read key by key: for types that know no batches, all small."""
        size, stride, count = self.info.key_size, self.info.stride, 0
        elem = Elem(map_fd=self._fd)
        while count < room:
            elem.key, elem.value = 0, ctypes.addressof(self._next)
            if cursor.token:
                ctypes.memmove(self._token, cursor.token, size)
                elem.key = ctypes.addressof(self._token)
            if not self._found(Command.MAP_GET_NEXT_KEY, elem):
                cursor.done = True
                break
            cursor.token = self._next.raw[:size]
            elem.key, elem.value = ctypes.addressof(self._next), values + count * stride
            if self._found(Command.MAP_LOOKUP_ELEM, elem):  # else deleted meanwhile
                ctypes.memmove(keys + count * size, self._next, size)
                count += 1
        return count

    def _found(self, command: Command, elem: Elem) -> bool:
        try:
            bpf(command, elem)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return False
            raise refused(error, f"reading map {self.info.name} ({self.info.type}) failed") from error
        return True


def all_entries(walk: Walk, *, first: int = _FIRST_BYTES) -> Entries:
    """Copy a whole map with buffers that grow as the map turns out to be. Raises as `Walk.step`."""
    info, cursor = walk.info, Cursor()
    size, stride = info.key_size, info.stride
    room = max(1, min(info.max_entries, first // max(1, size + stride)))
    parts: list[tuple[Bytes, Bytes]] = []
    total = 0
    while not cursor.done:
        keys, values = np.empty(room * size, np.uint8), np.empty(room * stride, np.uint8)
        try:
            count = walk.step(cursor, keys.ctypes.data, values.ctypes.data, room)
        except BudgetExceeded:
            if room >= info.max_entries:
                raise
            room = min(info.max_entries, room * 2)
            continue
        total += count
        parts.append((keys[: count * size], values[: count * stride]))
        if total > 4 * info.max_entries + room:
            raise KernelRefused(f"map {info.name} changes faster than it can be read")
        room = max(1, min(info.max_entries, room * 2, _MOST_BYTES // max(1, size + stride)))
    return Entries(total, _joined([k for k, _ in parts]), _joined([v for _, v in parts]))


def _joined(parts: list[Bytes]) -> memoryview:
    if not parts:
        return memoryview(b"")
    return (parts[0] if len(parts) == 1 else np.concatenate(parts)).data
