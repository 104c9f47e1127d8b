"""A guest's memory, seen from its host functions: every access is checked against its present size."""

from __future__ import annotations

import ctypes
from ctypes import byref
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from conductor.wasm.abi import ROWS_MOST, Error
from conductor.wasm.capi import HELD

__all__ = ["LARGE", "GuestMemory", "Refused", "checked_rows", "move"]


_move: Any = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)(
    ("memmove", ctypes.PyDLL(None))
)


LARGE: Final = 128 << 10
"""Bytes; for smaller copies getting the interpreter's lock back would cost more than the copy."""


def move(target: int, source: int, size: int) -> None:
    """Copy memory; for a large copy the interpreter's lock is given up, so that another one may run beside it."""
    if size >= LARGE:
        ctypes.memmove(target, source, size)
    else:
        _move(target, source, size)


class Refused(Exception):
    """A host function answers a negative code."""

    def __init__(self, code: Error) -> None:
        super().__init__(code.name)
        self.code = code


class GuestMemory:
    """The linear memory of one instance; touched by the thread that runs it, and no other."""

    __slots__ = ("_context", "_handle")

    def __init__(self, context: int, handle: Any) -> None:
        self._context, self._handle = context, handle

    @property
    def size(self) -> int:
        """Bytes, as of now."""
        return int(HELD.wasmtime_memory_data_size(self._context, byref(self._handle)))

    def at(self, pointer: int, size: int, align: int = 1) -> int:
        """Address of `size` bytes. Raises `Refused` (MEMORY) where they reach outside, or are not aligned."""
        if pointer + size > self.size or pointer % align:
            raise Refused(Error.MEMORY)
        return int(HELD.wasmtime_memory_data(self._context, byref(self._handle)) or 0) + pointer

    def read(self, pointer: int, size: int) -> bytes:
        """Copy bytes out."""
        return ctypes.string_at(self.at(pointer, size), size)

    def text(self, pointer: int, size: int) -> str:
        """Copy text out. Raises `Refused` (ARGUMENT) where it is not UTF-8."""
        try:
            return self.read(pointer, size).decode()
        except UnicodeDecodeError as exc:
            raise Refused(Error.ARGUMENT) from exc

    def array(self, pointer: int, count: int, dtype: DTypeLike) -> NDArray[Any]:
        """Copy an array out; nothing the guest does later changes it."""
        kind = np.dtype(dtype)
        return np.frombuffer(self.read(pointer, count * kind.itemsize), kind)

    def write(self, pointer: int, content: bytes) -> None:
        """Copy bytes in."""
        ctypes.memmove(self.at(pointer, len(content)), content, len(content))

    def offer(self, content: bytes, pointer: int, room: int) -> int:
        """Copy bytes in if they fit into `room`; answer how many there are."""
        if len(content) <= room:
            self.write(pointer, content)
        return len(content)


def checked_rows(count: int) -> int:
    """Answer a number of rows. Raises `Refused` (ARGUMENT) past `ROWS_MOST`."""
    if count > ROWS_MOST:
        raise Refused(Error.ARGUMENT)
    return count
