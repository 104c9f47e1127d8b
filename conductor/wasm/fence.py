"""The order in which a ring's memory is seen, on processors that do not keep it by themselves.

The kernel writes a record, then its header without BUSY (an exchange, which orders), and moves the producer's position
by a store-release. A reader must see these in that order: position, headers, data; and give the ring back after the last
byte was read. amd64 keeps loads in order, and stores after loads. arm64 keeps neither, and what reads here is memmove,
numpy and ctypes, whose loads are plain. So between two steps the thread goes through a full barrier (`dmb ish`): the
instruction `atomic.fence` of WebAssembly, compiled by the engine that is here anyway, as neither Python nor the C library
has a function for it. It needs the engine's threads, so it has an engine of its own: guests have none.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from ctypes import c_int64
from typing import Any, Final

from conductor.wasm.engine import Engine
from conductor.wasm.settings import FEATURES
from conductor.wasm.trusted import Trusted

__all__ = ["ORDERED_MACHINES", "Fence", "is_ordered"]

ORDERED_MACHINES: Final = ("x86_64", "i686", "i386")
TEXT: Final = b'(module (func (export "fence") (atomic.fence)))'


def is_ordered(machine: str = platform.machine()) -> bool:
    """Whether a processor keeps loads in order, and stores after loads."""
    return machine in ORDERED_MACHINES


class Fence:
    """Own the barrier; without `real` it is none. Used by one thread."""

    def __init__(self, *, real: bool) -> None:
        self._real = real
        self._engine: Engine | None = None
        self._instance: Trusted | None = None
        self.wait: Callable[[], None] = _nothing
        """Let nothing after it be read or written before what comes before it."""
        self.count = 0

    def open(self) -> None:
        """Compile it, where it is needed."""
        if not self._real:
            return
        self._engine = Engine.made({**FEATURES, "wasm_threads": True})
        self._instance = instance = Trusted(engine=self._engine, text=TEXT)
        function, raw = instance.function(b"fence"), _raw()

        def wait() -> None:
            instance.call(function, raw, 1)
            self.count += 1

        self.wait = wait

    def close(self) -> None:
        """Delete it; a second call does nothing."""
        instance, self._instance = self._instance, None
        engine, self._engine = self._engine, None
        self.wait = _nothing
        if instance is not None:
            instance.close()
        if engine is not None:
            engine.close()


def _raw() -> Any:
    return (c_int64 * 2)()


def _nothing() -> None:
    """The processor keeps the order."""
