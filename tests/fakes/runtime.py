"""An in-memory `ports.Runtime`: instances that tick on the event loop and fail as a test says.

What it models: instances with an interval, costs that only grow, errors of tick and open, close within its time.
It has no threads and no languages; what a runtime does to threads is shown with the real one.
"""

from __future__ import annotations

from conductor.model.grants import MapNeed
from conductor.model.ids import Name
from conductor.model.kernel import Bytecode, KernelFunctionSpec
from conductor.model.metrics import MetricSpec
from conductor.model.program import UserProgramSpec
from conductor.ports import Instance, InstanceCost, ProgramContext

__all__ = ["FakeInstance", "FakeRuntime"]


class FakeInstance:
    """One instance; each tick costs 1 s of CPU, delivers one event and drops one for `full`."""

    interval = 0.02

    def __init__(self, runtime: FakeRuntime, context: ProgramContext) -> None:
        self._runtime, self.context = runtime, context
        self.ticks = 0
        self.closed = False

    async def tick(self) -> None:
        self.ticks += 1
        if self._runtime.tick_error is not None:
            raise self._runtime.tick_error

    def cost(self) -> InstanceCost:
        ticks = self.ticks
        return InstanceCost(
            cpu_seconds=float(ticks), memory_bytes=4096, events_delivered=ticks, events_dropped={"full": ticks}
        )

    async def close(self) -> None:
        self.closed = True


class FakeRuntime:
    """Run anything; `open_error` and `tick_error` are raised until they are taken out."""

    def __init__(self) -> None:
        self.open_error: Exception | None = None
        self.tick_error: Exception | None = None
        self.instances: list[FakeInstance] = []
        self.forgotten: list[Name] = []

    async def forget(self, name: Name) -> None:
        """Note it (ports.KeepsRecords)."""
        self.forgotten.append(name)

    async def needs(self, spec: UserProgramSpec) -> tuple[MapNeed, ...]:
        del spec
        return ()

    def metrics(self, spec: UserProgramSpec) -> tuple[MetricSpec, ...]:
        del spec
        return ()

    def kernel_half(self, spec: UserProgramSpec) -> tuple[Bytecode, tuple[KernelFunctionSpec, ...]] | None:
        del spec
        return None

    async def open(self, spec: UserProgramSpec, context: ProgramContext, old: Instance | None) -> Instance:
        del spec, old
        if self.open_error is not None:
            raise self.open_error
        self.instances.append(FakeInstance(self, context))
        return self.instances[-1]

    def problems(self) -> tuple[str, ...]:
        return ()
