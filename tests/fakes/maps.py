"""In-memory `ports.MapHandle` and `ports.MapOpener`.

What it models: a pin is there while its program is loaded in the fake daemon; a handle that was closed raises; how
many are open. What it does not: batches into memory, rings, per-CPU slots (they raise), modes of pins.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NoReturn, Self

from typing_extensions import override

from conductor.errors import KernelRefused, MapMissing
from conductor.model.grants import Access, MapInfo, MapType
from conductor.model.ids import MapId, ProgramId
from conductor.ports import Cursor, Entries, MapHandle, RingHandle
from tests.fakes.kernel import FakeKernel

__all__ = ["FakeMap", "FakePins", "info"]


def info(
    name: str, type_: MapType = MapType.HASH, *, key_size: int = 4, value_size: int = 8, max_entries: int = 64
) -> MapInfo:
    """What the kernel would say of a map."""
    return MapInfo(
        id=MapId(1), name=name, type=type_, key_size=key_size, value_size=value_size, max_entries=max_entries
    )


class FakeMap(AbstractContextManager["FakeMap"]):
    """One opened map over a dict that it shares with other handles."""

    def __init__(self, about: MapInfo, content: dict[bytes, bytes], owner: FakePins) -> None:
        self._info, self._content, self._owner = about, content, owner
        self.closed = False
        owner.open_handles += 1

    @property
    def info(self) -> MapInfo:
        return self._info

    @override
    def __enter__(self) -> Self:
        return self

    @override
    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._owner.open_handles -= 1

    def entries(self) -> Entries:
        content = self._read()
        keys, values = b"".join(content), b"".join(content.values())
        return Entries(count=len(content), keys=memoryview(keys), values=memoryview(values))

    def lookup(self, key: bytes) -> bytes | None:
        return self._read().get(key)

    def update(self, key: bytes, value: bytes) -> None:
        self._read()[key] = value

    def delete(self, key: bytes) -> bool:
        return self._read().pop(key, None) is not None

    def _read(self) -> dict[bytes, bytes]:
        if self.closed:
            raise KernelRefused("use after close")
        return self._content

    def batch_into(self, cursor: Cursor, keys: int, values: int, room: int) -> int:
        self._no_memory(cursor, keys, values, room)

    def lookup_into(self, key: int, value: int) -> bool:
        self._no_memory(key, value)

    def update_from(self, key: int, value: int, flags: int) -> None:
        self._no_memory(key, value, flags)

    def delete_at(self, key: int) -> bool:
        self._no_memory(key)

    def pop_into(self, value: int) -> bool:
        self._no_memory(value)

    def ring(self) -> RingHandle:
        self._no_memory()

    def _no_memory(self, *_: object) -> NoReturn:
        raise KernelRefused("this fake reads and writes no memory by address")


class FakePins:
    """Open maps by pin (`ports.MapOpener`): `maps` says what each object of the fake daemon holds."""

    def __init__(self, kernel: FakeKernel, maps: Mapping[str, MapInfo]) -> None:
        self._kernel, self.maps = kernel, dict(maps)
        self.contents: dict[tuple[ProgramId, str], dict[bytes, bytes]] = {}
        self.open_handles = 0

    def __call__(self, pin: Path, access: Access) -> MapHandle:
        program = ProgramId(int(pin.parent.name))
        if program not in self._kernel.programs or pin.name not in self.maps:
            raise MapMissing(f"{pin} ({access.word})")
        content = self.contents.setdefault((program, pin.name), {})
        return FakeMap(self.maps[pin.name], content, self)
