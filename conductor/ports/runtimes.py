"""Runtimes: built-in and wasm programs behind one face."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from conductor.model.grants import MapNeed
from conductor.model.ids import Name
from conductor.model.kernel import Bytecode, KernelFunctionSpec
from conductor.model.metrics import MetricSpec
from conductor.model.program import UserProgramSpec
from conductor.model.status import StreamCost
from conductor.ports.programs import ProgramContext

__all__ = ["BreaksBetweenTicks", "Instance", "InstanceCost", "KeepsRecords", "ModuleNeeds", "ModuleReader", "Runtime"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceCost:
    """Cost of one instance since it was opened."""

    cpu_seconds: float = 0.0
    memory_bytes: int | None = None
    """None where nobody can tell: a built-in shares the process's memory."""
    events_taken: int = 0
    """From rings: delivered + dropped + queued, always."""
    events_delivered: int = 0
    events_queued: int = 0
    events_dropped: Mapping[str, int] = field(default_factory=dict)
    kernel_losses: int | None = None
    """Events that the kernel half could not hand over; None where it does not count them."""
    streams: Mapping[str, StreamCost] = field(default_factory=dict)
    """Events by stream: the name under which the program was granted the ring."""


class Instance(Protocol):
    """One running instance of a user program, whatever it is written in."""

    @property
    def interval(self) -> float: ...
    async def tick(self) -> None:
        """Run one tick off the event loop. Raises `ProgramCrashed` when the instance is beyond use."""
        ...

    def cost(self) -> InstanceCost: ...
    async def close(self) -> None:
        """Save state and end; returns within 5 s even if the program does not."""
        ...


@runtime_checkable
class BreaksBetweenTicks(Protocol):
    """An instance that is fed events too, and may be beyond use before its next tick."""

    def when_broken(self, wake: Callable[[], object]) -> None:
        """Have `wake` called, on any thread, when that happens: the next tick then raises why."""
        ...


@runtime_checkable
class KeepsRecords(Protocol):
    """A runtime that keeps the records which waited for an instance that ended, for the next one of that program."""

    async def forget(self, name: Name) -> None:
        """Drop what is kept: the program was unloaded."""
        ...


class Runtime(Protocol):
    """Knows how to run one kind of user program."""

    async def needs(self, spec: UserProgramSpec) -> tuple[MapNeed, ...]:
        """What the program cannot do without. Raises `NotFound`, `InvalidSpec` (config too), `ObjectUnreadable`."""
        ...

    def metrics(self, spec: UserProgramSpec) -> tuple[MetricSpec, ...]:
        """Families it will declare, as far as they are known before it runs."""
        ...

    def kernel_half(self, spec: UserProgramSpec) -> tuple[Bytecode, tuple[KernelFunctionSpec, ...]] | None:
        """The kernel half that comes along when no map is granted; None where there is none."""
        ...

    async def open(self, spec: UserProgramSpec, context: ProgramContext, old: Instance | None) -> Instance:
        """Start an instance; `old` is the one it takes over from and goes on running until told to close."""
        ...

    def problems(self) -> tuple[str, ...]:
        """What is amiss with the runtime itself, a sentence each."""
        ...


class ModuleNeeds(Protocol):
    """What a module declares of itself."""

    @property
    def maps(self) -> tuple[MapNeed, ...]: ...
    @property
    def metrics(self) -> tuple[MetricSpec, ...]: ...
    @property
    def config_schema(self) -> Mapping[str, Any]: ...


class ModuleReader(Protocol):
    """Reads what modules declare; compiles and runs nothing."""

    async def __call__(self, path: Path, digest: str, /) -> ModuleNeeds:
        """Read the module of a file. Raises `ModuleUnusable`, `InvalidSpec` (its needs), `ObjectUnreadable`."""
        ...
