"""Small modules of our own, run on the thread that asks: no budget, no imports."""

from __future__ import annotations

from ctypes import byref, c_void_p
from typing import Any, Final

from conductor.wasm.capi import HELD, RELEASED, Bytes, Extern, Instance, error_text, taken
from conductor.wasm.engine import Engine

__all__ = ["Trusted"]

_FOR_EVER: Final = 1 << 60


class Trusted:
    """Own one instance. Used by one thread at a time; close it."""

    def __init__(self, *, engine: Engine, text: bytes) -> None:
        """Compile and instantiate it: it is small, and ours."""
        linker = HELD.wasmtime_linker_new(engine.pointer)
        self._ready = engine.ready(engine.compile(_assembled(text)), linker)
        HELD.wasmtime_linker_delete(linker)
        self._store: int | None = HELD.wasmtime_store_new(engine.pointer, None, None)
        self._context = HELD.wasmtime_store_context(self._store)
        HELD.wasmtime_context_set_epoch_deadline(self._context, _FOR_EVER)
        self._instance, trap = Instance(), c_void_p()
        error = RELEASED.wasmtime_instance_pre_instantiate(
            self._ready.pointer, self._context, byref(self._instance), byref(trap)
        )
        if error or trap.value:
            raise AssertionError("a module of ours cannot be instantiated")

    def function(self, name: bytes) -> Any:
        """Answer an exported function, for `call`."""
        return self._export(name).func

    def memory(self) -> int:
        """Address of its memory, which does not grow."""
        return int(HELD.wasmtime_memory_data(self._context, byref(self._export(b"memory").memory)))

    def call(self, function: Any, raw: Any, slots: int) -> None:
        """Call a function; arguments come and results go in `raw`, 16 bytes each.

        The lock of the interpreter is kept: a call takes microseconds, getting the lock back may take longer.
        """
        trap = c_void_p()
        error = HELD.wasmtime_func_call_unchecked(self._context, byref(function), raw, slots, byref(trap))
        if error or trap.value:
            raise AssertionError("a module of ours failed")

    def close(self) -> None:
        """Delete the instance; a second call does nothing."""
        store, self._store = self._store, None
        if store:
            RELEASED.wasmtime_store_delete(store)

    def _export(self, name: bytes) -> Any:
        found = Extern()
        HELD.wasmtime_instance_export_get(self._context, byref(self._instance), name, len(name), byref(found))
        return found.of


def _assembled(text: bytes) -> bytes:
    binary = Bytes()
    if error := HELD.wasmtime_wat2wasm(text, len(text), byref(binary)):
        raise AssertionError(error_text(error))
    return taken(binary)
