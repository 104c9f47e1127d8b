"""The one engine: an explicit list of wasm features, epochs for interruption, and modules made ready to instantiate."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from ctypes import byref, c_void_p
from typing import Self

from conductor.errors import ModuleUnusable
from conductor.wasm.capi import HELD, RELEASED, Bytes, error_text, taken
from conductor.wasm.settings import FEATURES, MEMORY_GUARD, MEMORY_RESERVATION, NUMBERS

__all__ = ["Engine", "ReadyModule"]


class Engine:
    """Own the engine. Thread-safe; close it after everything made with it."""

    def __init__(self, pointer: int) -> None:
        self.pointer = pointer

    @classmethod
    def made(cls, features: Mapping[str, bool] = FEATURES) -> Self:
        """Make an engine; where it compiles it uses one thread."""
        config = HELD.wasm_config_new()
        for feature, is_on in features.items():
            getattr(HELD, f"wasmtime_config_{feature}_set")(config, is_on)
        for number, value in NUMBERS.items():
            getattr(HELD, f"wasmtime_config_{number}_set")(config, value)
        HELD.wasmtime_config_memory_reservation_set(config, MEMORY_RESERVATION)
        HELD.wasmtime_config_memory_guard_size_set(config, MEMORY_GUARD)
        return cls(RELEASED.wasm_engine_new_with_config(config))

    def beat(self) -> None:
        """Begin the next epoch: running guests look at their budgets."""
        HELD.wasmtime_engine_increment_epoch(self.pointer)

    def compile(self, module: bytes) -> bytes:
        """Compile a module, here and now, without any limit; answer machine code. Raises `ModuleUnusable`."""
        made, code = c_void_p(), Bytes()
        if error := RELEASED.wasmtime_module_new(self.pointer, module, len(module), byref(made)):
            raise ModuleUnusable(f"the module does not compile: {error_text(error)}")
        try:
            if error := RELEASED.wasmtime_module_serialize(made, byref(code)):
                raise ModuleUnusable(f"the compiled module cannot be kept: {error_text(error)}")
        finally:
            RELEASED.wasmtime_module_delete(made)
        return taken(code)

    def ready(self, code: bytes, linker: int) -> ReadyModule:
        """Load machine code that we made ourselves and resolve its imports. Raises `ModuleUnusable`.

        The bytes are trusted: whoever calls has compared their hash.
        """
        made, pre = c_void_p(), c_void_p()
        if error := RELEASED.wasmtime_module_deserialize(self.pointer, code, len(code), byref(made)):
            raise ModuleUnusable(f"compiled code is not of this engine: {error_text(error)}")
        try:
            if error := RELEASED.wasmtime_linker_instantiate_pre(linker, made, byref(pre)):
                raise ModuleUnusable(f"the module's imports are not met: {error_text(error)}")
        finally:
            RELEASED.wasmtime_module_delete(made)
        return ReadyModule(int(pre.value or 0), RELEASED.wasmtime_instance_pre_delete)

    def close(self) -> None:
        """Delete the engine; a second call does nothing."""
        pointer, self.pointer = self.pointer, 0
        if pointer:
            RELEASED.wasm_engine_delete(pointer)


class ReadyModule:
    """Machine code whose imports are resolved; shared by all its instances, deleted when the last lets go."""

    __slots__ = ("__weakref__", "_delete", "pointer")

    def __init__(self, pointer: int, delete: Callable[[int], None]) -> None:
        self.pointer, self._delete = pointer, delete

    def __del__(self) -> None:
        # The exception to "closing is explicit": instances of many programs share it and come and go on many threads.
        pointer, self.pointer = self.pointer, 0
        if pointer and ctypes is not None:
            self._delete(pointer)
