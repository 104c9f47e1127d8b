"""The trusted walker over copied ring buffer records: the loop over headers runs as wasm, not as Python."""

from __future__ import annotations

from ctypes import byref, c_int64, c_void_p
from pathlib import Path
from typing import Any, Final

from conductor.wasm.capi import HELD, RELEASED, Bytes, Extern, Instance, error_text, taken
from conductor.wasm.engine import Engine
from conductor.wasm.memory import move

__all__ = ["COPY_BYTES", "Walked", "Walker"]

COPY_BYTES: Final = 1 << 20
"""Most that is taken at once."""
_MANY: Final = 0x7FFFFFFF
_FOR_EVER: Final = 1 << 60


class Walker:
    """Own one instance of walker.wat. Used by one thread at a time."""

    def __init__(self, *, engine: Engine) -> None:
        self._engine = engine
        self._store: int | None = None
        self._raw: Any = (c_int64 * 8)()
        self._context = 0
        self._function: Any = None
        self._at = 0

    def open(self) -> None:
        """Compile and instantiate it: it is small, and ours."""
        text, binary = (Path(__file__).parent / "walker.wat").read_bytes(), Bytes()
        if error := HELD.wasmtime_wat2wasm(text, len(text), byref(binary)):
            raise AssertionError(error_text(error))
        linker = HELD.wasmtime_linker_new(self._engine.pointer)
        ready = self._engine.ready(self._engine.compile(taken(binary)), linker)
        HELD.wasmtime_linker_delete(linker)
        self._store = HELD.wasmtime_store_new(self._engine.pointer, None, None)
        self._context = HELD.wasmtime_store_context(self._store)
        HELD.wasmtime_context_set_epoch_deadline(self._context, _FOR_EVER)
        instance, trap = Instance(), c_void_p()
        error = RELEASED.wasmtime_instance_pre_instantiate(ready.pointer, self._context, byref(instance), byref(trap))
        if error or trap.value:
            raise AssertionError("the walker cannot be instantiated")
        memory, function = Extern(), Extern()
        HELD.wasmtime_instance_export_get(self._context, byref(instance), b"memory", 6, byref(memory))
        HELD.wasmtime_instance_export_get(self._context, byref(instance), b"walk", 4, byref(function))
        self._function = function.of.func
        self._at = int(HELD.wasmtime_memory_data(self._context, byref(memory.of.memory)))

    def walk(self, at: int, end: int, most: int, records: int = _MANY) -> tuple[int, int]:
        """Step over committed records; answer their bytes and how many of them are not discarded."""
        raw, trap = self._raw, c_void_p()
        raw[0], raw[2], raw[4], raw[6] = at, end, most, records
        # The lock of the interpreter is kept: a walk takes microseconds, getting the lock back may take longer.
        error = HELD.wasmtime_func_call_unchecked(self._context, byref(self._function), raw, 4, byref(trap))
        if error or trap.value:
            raise AssertionError("the walker failed")
        answer = int(raw[0])
        return answer >> 32 & 0xFFFFFFFF, answer & 0xFFFFFFFF

    def survey(self, address: int, size: int) -> Walked:
        """Copy the head of a ring and find how far its records are committed; `size` is at most `COPY_BYTES`."""
        move(self._at, address, size)
        return Walked(self, self.walk(0, size, size)[0])

    def close(self) -> None:
        """Delete the instance; a second call does nothing."""
        store, self._store = self._store, None
        if store:
            RELEASED.wasmtime_store_delete(store)


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
