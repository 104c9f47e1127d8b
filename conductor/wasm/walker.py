"""The trusted walker over copied ring buffer records: the loop over headers runs as wasm, not as Python."""

from __future__ import annotations

from ctypes import c_int64
from pathlib import Path
from typing import Any, Final

from conductor.wasm.engine import Engine
from conductor.wasm.memory import move
from conductor.wasm.trusted import Trusted

__all__ = ["COPY_BYTES", "Walked", "Walker"]

COPY_BYTES: Final = 1 << 20
"""Most that is taken at once."""
_MANY: Final = 0x7FFFFFFF


class Walker:
    """Own one instance of walker.wat. Used by one thread at a time."""

    def __init__(self, *, engine: Engine) -> None:
        self._engine = engine
        self._instance: Trusted | None = None
        self._raw: Any = (c_int64 * 8)()
        self._function: Any = None
        self._at = 0

    def open(self) -> None:
        """Compile and instantiate it."""
        self._instance = Trusted(engine=self._engine, text=(Path(__file__).parent / "walker.wat").read_bytes())
        self._function, self._at = self._instance.function(b"walk"), self._instance.memory()

    def walk(self, at: int, end: int, most: int, records: int = _MANY) -> tuple[int, int]:
        """Step over committed records; answer their bytes and how many of them are not discarded."""
        raw = self._raw
        raw[0], raw[2], raw[4], raw[6] = at, end, most, records
        assert self._instance is not None
        self._instance.call(self._function, raw, 4)
        answer = int(raw[0])
        return answer >> 32 & 0xFFFFFFFF, answer & 0xFFFFFFFF

    def survey(self, address: int, size: int, *, records: int = _MANY) -> Walked:
        """Copy the head of a ring and find how far its records are committed; `size` is at most `COPY_BYTES`."""
        move(self._at, address, size)
        return Walked(self, self.walk(0, size, size, records)[0])

    def close(self) -> None:
        """Delete the instance; a second call does nothing."""
        instance, self._instance = self._instance, None
        if instance is not None:
            instance.close()


class Walked:
    """What a survey found; good until the next one."""

    __slots__ = ("_walker", "size")

    def __init__(self, walker: Walker, size: int) -> None:
        self._walker, self.size = walker, size

    def pieces(self, most: int) -> list[tuple[int, int, int]]:
        """Cut at records: start, end and count, each of at most `most` bytes; count -1: one that is larger than that."""
        found, at, end = [], 0, self.size
        while at < end:
            size, count = self._walker.walk(at, end, most)
            if size == 0:
                size, count = self._walker.walk(at, end, end, 1)
                if size == 0:
                    raise AssertionError("a committed record is not whole")
                count = -count
            if count:
                found.append((at, at + size, count))
            at += size
        return found
