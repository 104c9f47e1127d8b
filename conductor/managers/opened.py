"""One open instance of a user program with everything it holds: maps, fence, ticks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass

from conductor.errors import ConductorError, NotYet, ProgramStuck
from conductor.exporter.store import SeriesStore
from conductor.managers.cells import CellFiles
from conductor.managers.fence import Fence, FencedLog, FencedSeries, FencedState
from conductor.managers.kernel_desk import KernelDesk
from conductor.managers.logs import LogBook
from conductor.managers.pins import Pins
from conductor.managers.spent import Spent
from conductor.managers.ticker import Ticker
from conductor.model.ids import ProgramId
from conductor.model.program import ProgramType, UserProgramSpec
from conductor.plan.halves import Resolved, resolve
from conductor.plan.layout import check_layout
from conductor.ports import Instance, KeepsRecords, Lookup, MapHandle, ProgramContext, Runtime

__all__ = ["Maker", "Opened"]

OPEN_SECONDS = 30.0
QUIET_SECONDS = 10.0
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An instance that ticked well once, and what ends with it."""

    spec: UserProgramSpec
    resolved: Resolved
    programs: Mapping[str, ProgramId | None]
    """Kernel program behind each granted map when it was opened."""
    instance: Instance
    ticker: Ticker
    fence: Fence
    maps: tuple[MapHandle, ...]

    async def close(self) -> bool:
        """End the instance, then close its maps; answer whether it really ended.

        Maps of one that did not stay open: its thread may be inside a system call on them.
        """
        ended = True
        try:
            await self.instance.close()
        except ProgramStuck:
            ended = False
            log.warning("%s did not end; its maps stay open", self.spec.name)
        except Exception:
            log.exception("%s: close failed", self.spec.name)
        self.fence.cut()
        if ended:
            with ExitStack() as stack:  # made now: an empty one takes 760 bytes, for each program
                for handle in self.maps:
                    stack.callback(handle.close)
        return ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """Make instances of user programs out of the parts that the manager was given."""

    desk: KernelDesk
    pins: Pins
    runtimes: Mapping[ProgramType, Runtime]
    store: SeriesStore
    lookup: Lookup
    cells: CellFiles
    logs: LogBook
    clock: Callable[[], float]

    async def resolve(self, spec: UserProgramSpec) -> Resolved:
        """Check a spec against its program. Raises `NotFound`, `InvalidSpec`, `NotYet`, `MetricClash`."""
        runtime = self.runtime(spec)
        async with asyncio.timeout(OPEN_SECONDS):
            needs = await runtime.needs(spec)
        self.store.check(spec.name, runtime.metrics(spec))
        return resolve(spec, needs, runtime.kernel_half(spec))

    async def open(
        self,
        spec: UserProgramSpec,
        resolved: Resolved,
        *,
        old: Opened | None,
        spent: Spent,
        told: Callable[[ConductorError | None], None],
        healthy: bool,
    ) -> Opened:
        """Open maps, then the program, and tick once; nothing is left behind when that fails.

        `old` does not tick meanwhile: a program's series have one writer. With `healthy` a failed first tick raises.
        """
        async with AsyncExitStack() as stack:
            fence = Fence(spent.counts)
            stack.callback(fence.cut)
            maps = stack.enter_context(ExitStack())
            handles = self._open_maps(resolved, maps)
            programs = {grant.name: self.desk.program_of(grant) for grant in resolved.grants}
            if old is not None:
                await _quiet(old, stack)
            try:
                instance = await self._start(spec, self._context(spec, handles, fence), old)
            except ProgramStuck:
                maps.pop_all()  # its thread may be inside a system call on them: they stay open
                raise
            maps.pop_all()
            opened = Opened(
                spec=spec,
                resolved=resolved,
                programs=programs,
                instance=instance,
                ticker=Ticker(instance=instance, counts=spent.counts, clock=self.clock, told=told),
                fence=fence,
                maps=tuple(handles.values()),
            )
            stack.callback(lambda: spent.add(instance.cost()))  # what it took from rings is in no other's books
            stack.push_async_callback(opened.close)
            await _prove(opened, healthy=healthy)
            stack.pop_all()
        if old is not None:
            old.fence.cut()
            old.ticker.lock.release()
        return opened

    async def _start(self, spec: UserProgramSpec, context: ProgramContext, old: Opened | None) -> Instance:
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                return await self.runtime(spec).open(spec, context, old.instance if old else None)
        except TimeoutError as exc:
            raise ProgramStuck(f"{spec.name} did not open within {OPEN_SECONDS:g} s") from exc

    def _context(self, spec: UserProgramSpec, handles: Mapping[str, MapHandle], fence: Fence) -> ProgramContext:
        return ProgramContext(
            name=spec.name,
            config=spec.config,
            maps=handles,
            series=FencedSeries(self.store.sink(spec.name, spec.limits.series), fence),
            lookup=self.lookup,
            log=FencedLog(self.logs.sink(spec.name, spec.limits.log_lines), fence),
            state=FencedState(self.cells.cell(spec.name), fence),
        )

    async def forget(self, spec: UserProgramSpec) -> None:
        """Drop what a runtime keeps for the next instance of a program that was unloaded."""
        runtime: object = self.runtimes.get(spec.type)
        if isinstance(runtime, KeepsRecords):
            await runtime.forget(spec.name)

    def _open_maps(self, resolved: Resolved, stack: ExitStack) -> dict[str, MapHandle]:
        handles: dict[str, MapHandle] = {}
        for need in resolved.needs:
            grant = resolved.grant_of(need)
            handle = stack.enter_context(self.desk.open(grant, brought=resolved.brought is not None))
            check_layout(need, grant, handle.info)
            handles[need.name] = handle
        return handles

    def runtime(self, spec: UserProgramSpec) -> Runtime:
        """Answer who runs a program of this kind. Raises `NotYet`."""
        runtime = self.runtimes.get(spec.type)
        if runtime is None:
            raise NotYet("this agent runs no wasm programs; load a built-in (conductor list --available)")
        return runtime


async def _quiet(old: Opened, stack: AsyncExitStack) -> None:
    """Hold the ticks of the running version until the new one stands or fell."""
    try:
        async with asyncio.timeout(QUIET_SECONDS):
            await stack.enter_async_context(old.ticker.lock)
    except TimeoutError as exc:
        problem = f"{old.spec.name}: its running version has been in one tick for {QUIET_SECONDS:g} s"
        raise ProgramStuck(f"{problem}; update without overlap, or restart it") from exc


async def _prove(opened: Opened, *, healthy: bool) -> None:
    try:
        await opened.ticker.once()
    except ConductorError:
        if healthy or opened.ticker.fatal is not None:
            raise
