"""Built-ins for tests: real declarations, run by the real runtime on real threads; a script says how each behaves.

What they model: what a built-in may do to its agent (raise, hang, refuse to close, keep state, read a map).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from conductor.model.grants import MapNeed, MapType
from conductor.model.kernel import KernelFunctionSpec, KernelType, TracepointLink
from conductor.model.metrics import MetricKind, MetricSpec
from conductor.ports import Program, ProgramContext

__all__ = ["COUNTS", "FakeBuiltin", "FakeProgram", "Script", "counter", "plain"]

COUNTS = MapNeed(name="counts", type=MapType.HASH, key_size=4, value_size=8)
ENTER = KernelFunctionSpec(
    name="on_enter", type=KernelType.TRACEPOINT, links=(TracepointLink(name="raw_syscalls/sys_enter"),)
)
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "interval": {"type": "number", "default": 0.05, "minimum": 0.01, "maximum": 300},
        "step": {"type": "integer", "default": 1, "minimum": 0, "maximum": 1000},
        "mood": {"type": "string", "default": ""},
    },
}


@dataclass
class Script:
    """How programs behave: one hook per call, by the config's `mood`; hooks run on the program's thread."""

    on_open: dict[str, Callable[[], object]] = field(default_factory=dict)
    on_tick: dict[str, Callable[[], object]] = field(default_factory=dict)
    on_close: dict[str, Callable[[], object]] = field(default_factory=dict)
    opened: int = 0
    closed: int = 0
    threads: set[str] = field(default_factory=set)

    @property
    def alive(self) -> int:
        """Programs that were opened and not closed."""
        return self.opened - self.closed


class FakeBuiltin:
    """A built-in that counts its ticks in a series and in its state; with `needs`, it reads a map as well."""

    def __init__(
        self,
        name: str,
        script: Script,
        *,
        needs: tuple[MapNeed, ...] = (),
        kernel_half: tuple[KernelFunctionSpec, ...] = (),
        help_: str = "Ticks.",
    ) -> None:
        self.name, self.script, self.needs, self.kernel_half = name, script, needs, kernel_half
        self.description = f"The test built-in {name}."
        self.config_schema = SCHEMA
        self.metrics: tuple[MetricSpec, ...] = (
            MetricSpec(name="ticks_total", kind=MetricKind.COUNTER, help=help_, labels=("of",)),
        )

    def open(self, context: ProgramContext) -> Program:
        self.script.on_open.get(context.config["mood"], lambda: None)()
        return FakeProgram(self, context)


class FakeProgram:
    """One running instance; its counter goes on where the stored state stands."""

    def __init__(self, kind: FakeBuiltin, context: ProgramContext) -> None:
        self._script, self._context = kind.script, context
        self._mood = context.config["mood"]
        self._step = context.config["step"]
        self._count = int(context.state.load() or b"0")
        self._metric = context.series.declare(kind.metrics[0])
        self._script.opened += 1
        self._script.threads.add(threading.current_thread().name)

    @property
    def interval(self) -> float:
        return float(self._context.config["interval"])

    def tick(self) -> None:
        self._script.on_tick.get(self._mood, lambda: None)()
        for handle in self._context.maps.values():
            handle.entries()
        self._count += self._step
        self._context.state.store(str(self._count).encode())
        ids = self._context.series.intern(self._metric, [[self._context.name]])
        self._context.series.set(ids, np.array([float(self._count)]))

    def close(self) -> None:
        self._script.on_close.get(self._mood, lambda: None)()
        self._context.state.store(str(self._count).encode())
        self._script.closed += 1


def plain(script: Script, name: str = "plain") -> FakeBuiltin:
    """A built-in without a kernel half."""
    return FakeBuiltin(name, script)


def counter(script: Script, name: str = "counter") -> FakeBuiltin:
    """A built-in that brings its kernel half along."""
    return FakeBuiltin(name, script, needs=(COUNTS,), kernel_half=(ENTER,))
