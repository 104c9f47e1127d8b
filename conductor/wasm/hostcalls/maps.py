"""Maps: entries move between kernel and guest memory in batches; the kernel itself writes there."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from conductor.errors import BudgetExceeded, NotAllowed
from conductor.model.grants import Access, MapType
from conductor.ports import Cursor, MapHandle, ProgramContext
from conductor.wasm.abi import Error, MapKind
from conductor.wasm.memory import GuestMemory, Refused, checked_rows
from conductor.wasm.meter import Bucket

__all__ = ["MapCalls", "OpenStream"]

HANDLES: Final = 256
STREAM_LEAST: Final = 4096
_WITHOUT_KEYS: Final = (MapType.QUEUE, MapType.STACK, MapType.RINGBUF, MapType.PERF_EVENT_ARRAY)

OpenStream = Callable[[str, MapHandle, int, int], int]
"""(name, map, buffer, size) -> the stream's number."""


class MapCalls:
    """The maps of one instance; handles are positions in its own list."""

    __slots__ = ("_access", "_budget", "_context", "_memory", "_open_stream", "_opened")

    def __init__(
        self,
        *,
        context: ProgramContext,
        access: dict[str, Access],
        memory: Callable[[], GuestMemory],
        operations: int,
        open_stream: OpenStream,
    ) -> None:
        self._context, self._access, self._memory = context, access, memory
        self._open_stream = open_stream
        self._budget = Bucket(rate=operations, burst=operations)
        self._opened: list[tuple[str, MapHandle, Cursor]] = []

    def map_open(self, name: int, name_size: int) -> int:
        """Answer the handle of a granted map."""
        wanted = self._memory().text(name, min(name_size, 1 << 16))
        handle = self._context.maps.get(wanted)
        if handle is None:
            raise Refused(Error.NOT_FOUND)
        if len(self._opened) >= HANDLES:
            raise Refused(Error.BUDGET)
        self._opened.append((wanted, handle, Cursor()))
        return len(self._opened) - 1

    def map_info(self, map_: int, out: int) -> int:
        """Write a `map_info`."""
        name, handle, _ = self._of(map_)
        info = handle.info
        kind = MapKind.__members__.get(info.type.name, MapKind.OTHER)
        access = self._access.get(name, Access.READ)
        content = struct.pack(
            "<8I",
            kind,
            info.key_size,
            info.value_size,
            info.stride,
            min(info.max_entries, 0xFFFFFFFF),
            info.cpus,
            access,
            0,
        )
        self._memory().write(out, content)
        return 0

    def map_rewind(self, map_: int) -> int:
        """Begin the walk anew."""
        cursor = self._of(map_)[2]
        cursor.token, cursor.done = b"", False
        return 0

    def map_batch(self, map_: int, keys: int, values: int, room: int) -> int:
        """Let the kernel write entries into guest memory."""
        _, handle, cursor = self._of(map_, keyed=True)
        info = handle.info
        memory = self._memory()
        if room == 0:
            raise Refused(Error.NO_ROOM)
        room = min(room, info.max_entries)
        key_at = memory.at(keys, room * info.key_size, 8)
        value_at = memory.at(values, room * info.stride, 8)
        self._check_budget()
        count = 0
        while not cursor.done and not count:
            try:
                count = handle.batch_into(cursor, key_at, value_at, room)
            except BudgetExceeded as exc:
                raise Refused(Error.NO_ROOM) from exc
        self._budget.spend(max(1, count))
        if not count:
            cursor.token, cursor.done = b"", False
        return count

    def map_lookup(self, map_: int, keys: int, count: int, values: int, found: int) -> int:
        """Look up a list of keys."""
        _, handle, _ = self._of(map_, keyed=True)
        memory, count = self._memory(), checked_rows(count)
        info = handle.info
        key_at = memory.at(keys, count * info.key_size)
        value_at = memory.at(values, count * info.stride)
        memory.at(found, count)
        self._check_budget()
        self._budget.spend(max(1, count))
        flags = bytes(handle.lookup_into(key_at + i * info.key_size, value_at + i * info.stride) for i in range(count))
        memory.write(found, flags)
        return sum(flags)

    def map_update(self, map_: int, keys: int, values: int, count: int, flags: int) -> int:
        """Write entries; those before a failure stay."""
        name, handle, _ = self._of(map_)
        self._check_writable(name)
        memory, count = self._memory(), checked_rows(count)
        if flags > 2:
            raise Refused(Error.ARGUMENT)
        info = handle.info
        key_at = memory.at(keys, count * info.key_size)
        value_at = memory.at(values, count * info.stride)
        self._check_budget()
        self._budget.spend(max(1, count))
        for i in range(count):
            key = key_at + i * info.key_size if info.key_size else 0
            if i == 0:
                handle.update_from(key, value_at, flags)
                continue
            written = False
            with suppress(Exception):  # told by the count: what was written stays
                handle.update_from(key, value_at + i * info.stride, flags)
                written = True
            if not written:
                return i
        return count

    def map_delete(self, map_: int, keys: int, count: int) -> int:
        """Delete keys."""
        name, handle, _ = self._of(map_, keyed=True)
        self._check_writable(name)
        count = checked_rows(count)
        size = handle.info.key_size
        key_at = self._memory().at(keys, count * size)
        self._check_budget()
        self._budget.spend(max(1, count))
        return sum(handle.delete_at(key_at + i * size) for i in range(count))

    def map_pop(self, map_: int, values: int, room: int) -> int:
        """Take elements of a queue or stack."""
        _, handle, _ = self._of(map_)
        info = handle.info
        if info.type not in (MapType.QUEUE, MapType.STACK):
            raise Refused(Error.UNSUPPORTED)
        room = checked_rows(room)
        value_at = self._memory().at(values, room * info.value_size)
        self._check_budget()
        count = 0
        while count < room and handle.pop_into(value_at + count * info.value_size):
            count += 1
        self._budget.spend(max(1, count))
        return count

    def stream_open(self, map_: int, buffer: int, size: int) -> int:
        """Have a ring buffer's records brought."""
        name, handle, _ = self._of(map_)
        if handle.info.type is MapType.PERF_EVENT_ARRAY:
            handle.ring().close()  # raises why not
        if handle.info.type is not MapType.RINGBUF:
            raise Refused(Error.UNSUPPORTED)
        if size < STREAM_LEAST:
            raise Refused(Error.NO_ROOM)
        self._memory().at(buffer, size, 8)
        if self._access.get(name, Access.READ) is Access.READ:
            raise NotAllowed(f"map {name} is granted Read; a ring buffer needs Consume")
        return self._open_stream(name, handle, buffer, size)

    def _of(self, number: int, *, keyed: bool = False) -> tuple[str, MapHandle, Cursor]:
        if number >= len(self._opened):
            raise Refused(Error.HANDLE)
        opened = self._opened[number]
        if keyed and opened[1].info.type in _WITHOUT_KEYS:
            raise Refused(Error.UNSUPPORTED)
        return opened

    def _check_writable(self, name: str) -> None:
        if self._access.get(name, Access.READ) is not Access.READ_WRITE:
            raise Refused(Error.DENIED)

    def _check_budget(self) -> None:
        if self._budget.left() <= 0:
            raise Refused(Error.BUDGET)
