"""Maps, their rings, and how they are opened.

A map or ring handle is used by one thread at a time. Addresses are plain integers that point into memory the caller owns
and keeps alive: the kernel reads or writes there, no Python runs per element.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from conductor.model.grants import Access, MapInfo

__all__ = ["Cursor", "Entries", "MapHandle", "MapLayouts", "MapOpener", "RingHandle"]


@dataclass(slots=True)
class Cursor:
    """Where a batched walk of a map stands. Made empty; owned by the walker."""

    token: bytes = b""
    done: bool = False


@dataclass(frozen=True, slots=True)
class Entries:
    """A whole map, copied: `count` keys and values side by side (`info.key_size` and `info.stride` bytes each)."""

    count: int
    keys: memoryview
    values: memoryview


class MapHandle(AbstractContextManager["MapHandle"], Protocol):
    """An opened map. Errors: `KernelRefused` with the kernel's word, `NotAllowed` where the grant does not reach."""

    @property
    def info(self) -> MapInfo: ...
    def entries(self) -> Entries: ...
    def lookup(self, key: bytes) -> bytes | None: ...
    def update(self, key: bytes, value: bytes) -> None: ...
    def delete(self, key: bytes) -> bool: ...
    def batch_into(self, cursor: Cursor, keys: int, values: int, room: int) -> int:
        """Let the kernel write up to `room` entries at two addresses; answer how many. Sets `cursor.done` at the end."""
        ...

    def lookup_into(self, key: int, value: int) -> bool: ...
    def update_from(self, key: int, value: int, flags: int) -> None: ...
    def delete_at(self, key: int) -> bool: ...
    def pop_into(self, value: int) -> bool:
        """Take one element of a queue or stack."""
        ...

    def ring(self) -> RingHandle:
        """Map the pages of a ring buffer (needs `Access.CONSUME`); the handle keeps its own descriptor."""
        ...

    def close(self) -> None: ...


class RingHandle(AbstractContextManager["RingHandle"], Protocol):
    """The mapped pages of a BPF ring buffer. Its data area is mapped twice, so a record never wraps for the reader.

    A record is an 8-byte header (u32 length with BUSY bit 31 and DISCARD bit 30, u32 page offset) and its data,
    rounded up to 8 (kernel/bpf/ringbuf.c). A header's BUSY bit must be seen clear before its data is trusted.
    """

    @property
    def size(self) -> int: ...
    @property
    def data(self) -> int:
        """Address of the data area; position p lies at `data + p % size`."""
        ...

    def positions(self) -> tuple[int, int]:
        """Consumer and producer position, in bytes since the ring was made."""
        ...

    def commit(self, consumer: int) -> None:
        """Give everything before `consumer` back to the kernel."""
        ...

    def fileno(self) -> int:
        """Descriptor that polls readable when records wait."""
        ...

    def close(self) -> None: ...


class MapOpener(Protocol):
    """Open a map by its pin, as far as the file's mode allows (kernel 5.19 without capabilities).

    Raises `MapMissing` (no such pin), `NotAllowed` (mode or group), `KernelRefused`.
    """

    def __call__(self, pin: Path, access: Access) -> MapHandle: ...


class MapLayouts(Protocol):
    """Digest the layouts of the maps that an object file declares, by map name; maps with equal ones can be shared.

    An empty digest is that of a map that belongs to one Load alone. Raises `ObjectUnreadable`.
    """

    async def __call__(self, path: str) -> Mapping[str, str]: ...
