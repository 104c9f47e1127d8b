"""The runtime of built-ins (ports.Runtime): each program on a worker thread of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from conductor.errors import ConductorError, NotFound, ProgramCrashed, ProgramStuck, TickFailed
from conductor.managers.worker import Worker
from conductor.model.grants import MapNeed
from conductor.model.kernel import BuiltinObject, Bytecode, KernelFunctionSpec
from conductor.model.manifest_fields import did_you_mean
from conductor.model.metrics import MetricSpec
from conductor.model.program import BuiltinSource, UserProgramSpec
from conductor.ports import Instance, InstanceCost, LogSink, Program, ProgramContext

__all__ = ["BuiltinInstance", "BuiltinKind", "BuiltinRuntime"]

OPEN_SECONDS = 10.0
TICK_SECONDS = 60.0
CLOSE_SECONDS = 5.0
log = logging.getLogger(__name__)


class BuiltinKind(Protocol):
    """A built-in as its module declares it; opening makes the program."""

    @property
    def name(self) -> str:
        """Its stem."""
        ...

    @property
    def needs(self) -> tuple[MapNeed, ...]:
        """Maps it cannot do without."""
        ...

    @property
    def metrics(self) -> tuple[MetricSpec, ...]:
        """Families it writes."""
        ...

    @property
    def kernel_half(self) -> tuple[KernelFunctionSpec, ...]:
        """Programs of its object; empty where it has none."""
        ...

    def open(self, context: ProgramContext) -> Program:
        """Make the running program."""
        ...


ParseConfig = Callable[[Any, Mapping[str, Any]], Mapping[str, Any]]


class BuiltinRuntime:
    """Know the built-ins and run them; counts the threads that got stuck and were left behind."""

    def __init__(
        self,
        *,
        builtins: Iterable[BuiltinKind],
        parse_config: ParseConfig,
        tick_seconds: float = TICK_SECONDS,
        close_seconds: float = CLOSE_SECONDS,
    ) -> None:
        self._kinds = {builtin.name: builtin for builtin in builtins}
        self._parse_config = parse_config
        self._tick_seconds, self._close_seconds = tick_seconds, close_seconds
        self._left_behind: list[Worker] = []

    @property
    def stuck_threads(self) -> int:
        """Threads that were left behind and have not ended since."""
        self._left_behind = [worker for worker in self._left_behind if worker.is_alive]
        return len(self._left_behind)

    def problems(self) -> tuple[str, ...]:
        """Tell of threads that were left behind."""
        if not (stuck := self.stuck_threads):
            return ()
        return (f"{stuck} threads of built-ins got stuck and were left behind; restart the agent to be rid of them",)

    async def needs(self, spec: UserProgramSpec) -> tuple[MapNeed, ...]:
        """What the built-in cannot do without. Raises `NotFound` (no such built-in), `InvalidSpec` (config)."""
        kind = self._kind(spec)
        self._parse_config(kind, spec.config)
        return kind.needs

    def metrics(self, spec: UserProgramSpec) -> tuple[MetricSpec, ...]:
        """Families that the built-in declares."""
        return self._kind(spec).metrics

    def kernel_half(self, spec: UserProgramSpec) -> tuple[Bytecode, tuple[KernelFunctionSpec, ...]] | None:
        """The kernel half that comes along; None where there is none."""
        kind = self._kind(spec)
        return (BuiltinObject(name=kind.name), kind.kernel_half) if kind.kernel_half else None

    async def open(self, spec: UserProgramSpec, context: ProgramContext, old: Instance | None) -> Instance:
        """Open the program on a thread of its own.

        Raises what it raises; `ProgramCrashed` for foreign errors, `ProgramStuck` when it does not come back.
        """
        del old  # a built-in takes over by its state cell and the series that stand
        kind = self._kind(spec)
        context = replace(context, config=self._parse_config(kind, spec.config))
        worker = Worker(name=f"program:{spec.name}")
        worker.start()
        try:
            program = await worker.run(lambda: kind.open(context), seconds=OPEN_SECONDS, what=f"{spec.name}: open")
        except BaseException as exc:
            if not await worker.end(seconds=0.1):
                self._left_behind.append(worker)
            if isinstance(exc, Exception) and not isinstance(exc, ConductorError):
                raise ProgramCrashed(f"{spec.name} could not start: {_told(exc, context.log)}") from exc
            raise
        return BuiltinInstance(
            name=spec.name,
            program=program,
            worker=worker,
            log_sink=context.log,
            tick_seconds=self._tick_seconds,
            close_seconds=self._close_seconds,
            left_behind=self._left_behind.append,
        )

    def _kind(self, spec: UserProgramSpec) -> BuiltinKind:
        assert isinstance(spec.source, BuiltinSource)
        kind = self._kinds.get(spec.source.name)
        if kind is None:
            near = did_you_mean(spec.source.name, self._kinds)
            known = ", ".join(sorted(self._kinds)) or "none"
            raise NotFound(f"there is no built-in {spec.source.name!r}{near}; here are: {known}")
        return kind


class BuiltinInstance:
    """One open built-in and its thread."""

    def __init__(
        self,
        *,
        name: str,
        program: Program,
        worker: Worker,
        log_sink: LogSink,
        tick_seconds: float,
        close_seconds: float,
        left_behind: Callable[[Worker], None],
    ) -> None:
        self._name, self._program, self._worker = name, program, worker
        self._log, self._left_behind = log_sink, left_behind
        self._tick_seconds, self._close_seconds = tick_seconds, close_seconds
        self._closed = False

    @property
    def interval(self) -> float:
        """Seconds between ticks."""
        return self._program.interval

    async def tick(self) -> None:
        """Tick on the thread. Raises `TickFailed` (it goes on), `ProgramStuck`."""
        seconds = max(self._tick_seconds, 3 * self.interval)
        try:
            await self._worker.run(self._program.tick, seconds=seconds, what=f"{self._name}: tick")
        except ProgramCrashed:
            raise
        except Exception as exc:
            raise TickFailed(f"tick failed: {_told(exc, self._log)}") from exc

    def cost(self) -> InstanceCost:
        """CPU by the thread's own clock; memory of one built-in cannot be told from its neighbours'."""
        return InstanceCost(cpu_seconds=self._worker.cpu_seconds())

    async def close(self) -> None:
        """Close the program and end its thread, within 5 s. Raises `ProgramStuck` when it was left behind."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._worker.run(self._program.close, seconds=self._close_seconds, what=f"{self._name}: close")
        except ProgramStuck:
            await self._worker.end(seconds=0)
            self._left_behind(self._worker)
            raise
        except Exception as exc:  # noqa: BLE001 - a program that cannot close is gone all the same
            self._log("error", f"close failed: {_told(exc, self._log)}")
        if not await self._worker.end(seconds=1.0):
            self._left_behind(self._worker)


def _told(exc: Exception, sink: LogSink) -> str:
    """Name an error of a program in one line; its trace goes to the process log."""
    text = str(exc) if isinstance(exc, ConductorError) else f"{type(exc).__name__}: {exc}"
    log.debug("a built-in raised", exc_info=exc)
    sink("error", text)
    return text
