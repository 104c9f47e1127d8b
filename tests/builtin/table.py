"""Hash maps in memory (ports.MapHandle), as far as built-ins use them: whole reads, look-up, delete.

They model order (stable until something is deleted) and room; not batches, not concurrent writers.
"""

from __future__ import annotations

from typing import Self

from conductor.model.grants import MapInfo, MapType
from conductor.model.ids import MapId
from conductor.ports import Cursor, Entries, RingHandle

__all__ = ["Table"]


class Table:
    """A map's entries; change `data` at will."""

    def __init__(
        self, *, key_size: int, value_size: int, number: int = 7, type_: MapType = MapType.HASH, room: int = 1024
    ) -> None:
        self.data: dict[bytes, bytes] = {}
        self._info = MapInfo(
            id=MapId(number), name="table", type=type_, key_size=key_size, value_size=value_size, max_entries=room
        )

    @property
    def info(self) -> MapInfo:
        return self._info

    def entries(self) -> Entries:
        keys, values = b"".join(self.data), b"".join(self.data.values())
        return Entries(len(self.data), memoryview(keys), memoryview(values))

    def lookup(self, key: bytes) -> bytes | None:
        return self.data.get(key)

    def update(self, key: bytes, value: bytes) -> None:
        assert (len(key), len(value)) == (self._info.key_size, self._info.value_size)
        self.data[key] = value

    def delete(self, key: bytes) -> bool:
        return self.data.pop(key, None) is not None

    def batch_into(self, cursor: Cursor, keys: int, values: int, room: int) -> int:
        raise NotImplementedError

    def lookup_into(self, key: int, value: int) -> bool:
        raise NotImplementedError

    def update_from(self, key: int, value: int, flags: int) -> None:
        raise NotImplementedError

    def delete_at(self, key: int) -> bool:
        raise NotImplementedError

    def pop_into(self, value: int) -> bool:
        raise NotImplementedError

    def ring(self) -> RingHandle:
        raise NotImplementedError

    def close(self) -> None:
        self.data.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
