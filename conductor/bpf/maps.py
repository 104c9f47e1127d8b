"""Opened maps: single entries, whole maps in batches, the fallback for maps without them. Needs no libbpf.

The addresses that `…_into` and `…_from` take belong to the caller; the kernel reads and writes there and no Python
runs per entry.
"""

from __future__ import annotations

import ctypes
import errno
from pathlib import Path
from typing import Self

from conductor.bpf.descriptor import Descriptor
from conductor.bpf.info import map_info
from conductor.bpf.perf_buffer import perf_buffer_refusal
from conductor.bpf.pins import open_map_fd
from conductor.bpf.refusals import ENOTSUPP, refused
from conductor.bpf.ring import Ring
from conductor.bpf.syscall import Command, Elem, bpf
from conductor.bpf.walk import Walk, all_entries
from conductor.errors import ConductorError, KernelRefused, NotAllowed
from conductor.model.grants import Access, MapInfo, MapType
from conductor.ports import Cursor, Entries

__all__ = ["BpfMap", "open_map"]


def open_map(pin: Path, access: Access) -> BpfMap:
    """Open a map by its pin, as far as its file's mode allows. Raises `MapMissing`, `NotAllowed`, `KernelRefused`."""
    return BpfMap.from_fd(open_map_fd(pin, access).detach())


class BpfMap:
    """One opened map; implements `ports.MapHandle`. Used by one thread at a time."""

    def __init__(self, descriptor: Descriptor, info: MapInfo) -> None:
        self._descriptor, self._info = descriptor, info
        self._elem = Elem(map_fd=descriptor.fileno())
        self._walk = Walk(fd=descriptor.fileno(), info=info)
        self._key = ctypes.create_string_buffer(max(1, info.key_size))
        self._value = ctypes.create_string_buffer(max(1, info.stride))

    @classmethod
    def from_fd(cls, fd: int) -> BpfMap:
        """Take ownership of a map's descriptor. Raises `KernelRefused`; it is closed then."""
        descriptor = Descriptor(fd)
        try:
            return cls(descriptor, map_info(fd))
        except ConductorError:
            descriptor.close()
            raise

    @property
    def info(self) -> MapInfo:
        """What the kernel said of it when it was opened."""
        return self._info

    def fileno(self) -> int:
        """Return the descriptor's number; borrowed."""
        return self._descriptor.fileno()

    # --- by bytes -----------------------------------------------------------------------------------------------------

    def lookup(self, key: bytes) -> bytes | None:
        """Copy one value (`info.stride` bytes); None without that key. Raises `KernelRefused`."""
        found = self.lookup_into(self._keyed(key), ctypes.addressof(self._value))
        return self._value.raw[: self._info.stride] if found else None

    def update(self, key: bytes, value: bytes) -> None:
        """Write one value, new or not. Raises `NotAllowed` on a read-only grant, `KernelRefused` when full."""
        if len(value) != self._info.stride:
            raise KernelRefused(f"map {self._info.name} has values of {self._info.stride} bytes, got {len(value)}")
        ctypes.memmove(self._value, value, len(value))
        self.update_from(self._keyed(key), ctypes.addressof(self._value), 0)

    def delete(self, key: bytes) -> bool:
        """Delete one entry; False without that key. Raises `NotAllowed` on a read-only grant, `KernelRefused`."""
        return self.delete_at(self._keyed(key))

    def entries(self) -> Entries:
        """Copy the whole map. Raises `KernelRefused`, `NotSupported` for types without entries."""
        self._descriptor.fileno()
        return all_entries(self._walk)

    # --- by address ---------------------------------------------------------------------------------------------------

    def batch_into(self, cursor: Cursor, keys: int, values: int, room: int) -> int:
        """Let the kernel write up to `room` entries at two addresses; answer how many, 0 only at the end.

        Raises `BudgetExceeded` when `room` is smaller than one bucket of a hash map: call again with twice the room.
        """
        self._descriptor.fileno()
        return self._walk.step(cursor, keys, values, room)

    def lookup_into(self, key: int, value: int) -> bool:
        """Copy one value to an address; False without that key."""
        return self._element(Command.MAP_LOOKUP_ELEM, key, value)

    def update_from(self, key: int, value: int, flags: int) -> None:
        """Write one entry from two addresses (key 0 for queues); flags of bpf(2): BPF_NOEXIST 1, BPF_EXIST 2."""
        elem = self._elem
        elem.map_fd, elem.key, elem.value, elem.flags = self._descriptor.fileno(), key, value, flags
        try:
            bpf(Command.MAP_UPDATE_ELEM, elem)
        except OSError as error:
            raise self._refused(error, "update") from error
        finally:
            elem.flags = 0

    def delete_at(self, key: int) -> bool:
        """Delete one entry by its key's address; False without that key."""
        return self._element(Command.MAP_DELETE_ELEM, key, 0)

    def pop_into(self, value: int) -> bool:
        """Take one element of a queue or stack; False when it is empty."""
        return self._element(Command.MAP_LOOKUP_AND_DELETE_ELEM, 0, value)

    def ring(self) -> Ring:
        """Map the pages of a ring buffer. Raises `NotAllowed` on a read-only grant, `NotSupported`, `KernelRefused`."""
        if self._info.type is MapType.PERF_EVENT_ARRAY:
            raise perf_buffer_refusal(self._info)
        return Ring.of(self._descriptor.fileno(), self._info)

    # --- lifetime -----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close; rings made from it live on."""
        self._descriptor.close()

    def __enter__(self) -> Self:
        self._descriptor.fileno()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _keyed(self, key: bytes) -> int:
        if len(key) != self._info.key_size:
            raise KernelRefused(f"map {self._info.name} has keys of {self._info.key_size} bytes, got {len(key)}")
        ctypes.memmove(self._key, key, len(key))
        return ctypes.addressof(self._key) if key else 0  # queues refuse an address

    def _element(self, command: Command, key: int, value: int) -> bool:
        elem = self._elem
        elem.map_fd, elem.key, elem.value = self._descriptor.fileno(), key, value
        try:
            bpf(command, elem)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return False
            raise self._refused(error, command.name.removeprefix("MAP_").lower()) from error
        return True

    def _refused(self, error: OSError, doing: str) -> ConductorError:
        kinds: dict[int, type[ConductorError]] = {errno.EPERM: NotAllowed, errno.EEXIST: KernelRefused}
        helps = {
            errno.EPERM: "the descriptor is read-only or the map is frozen: ask for Consume or ReadWrite",
            errno.E2BIG: "the map is full: make it larger or delete entries",
            errno.EINVAL: "this type of map does not know that operation",
            ENOTSUPP: "this type of map does not know that operation",
        }
        number = error.errno or 0
        what = f"{doing} of map {self._info.name} ({self._info.type}) failed"
        return refused(error, what, helps=helps.get(number, ""), as_=kinds.get(number))
