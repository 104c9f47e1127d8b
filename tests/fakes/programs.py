"""An in-memory Program Manager for tests of the doors: wishes, states and events, no programs and no kernel.

Models: idempotent Load, the refusals that users were promised, Load that goes on after its caller gave up (built-in `slow`,
config `delay`), all-or-none apply, events on the bus. It keeps nothing on disk and never fails by itself. Built-ins:
`service_map`, `host_pressure`, `slow`, and `broken`, which ends Failed. May grow only what the real manager has.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from conductor.api.scope import task_group
from conductor.errors import AlreadyExists, InvalidSpec, NameTaken, NotFound, NotYet, SourceHolds
from conductor.managers.bus import Bus
from conductor.model.agent import Applied
from conductor.model.events import ProgramChanged, ProgramGone
from conductor.model.grants import Access
from conductor.model.ids import LinkId, MapId, Name, ProgramId
from conductor.model.kernel import (
    BuiltinObject,
    KernelFunctionStatus,
    KernelProgramSpec,
    KernelType,
    LinkStatus,
    TracepointLink,
)
from conductor.model.manifest import KERNEL_PROGRAM, kind_of
from conductor.model.program import BuiltinSource, ProgramSpec, Source, UserProgramSpec
from conductor.model.status import Condition, Cost, KernelStatus, MapStatus, ProgramStatus, State

BUILTINS = ("broken", "host_pressure", "service_map", "slow")
OBJECT = BuiltinObject(name="service_map")


class FakePrograms:
    """Own all programs of a test."""

    def __init__(self, *, bus: Bus, group: asyncio.TaskGroup) -> None:
        self.bus = bus
        self.is_ready = True
        self.updates: list[tuple[bool, bool]] = []
        """How each update was asked for: overlapping, with rollback."""
        self._group = group
        self._programs: dict[Name, ProgramStatus] = {}
        self._kernel: dict[Name, KernelStatus] = {}
        self._settled: dict[Name, asyncio.Event] = {}
        self._clock = 1_700_000_000.0

    @classmethod
    @asynccontextmanager
    async def running(cls, *, bus: Bus) -> AsyncIterator[FakePrograms]:
        async with task_group() as group:
            yield cls(bus=bus, group=group)

    async def load(self, spec: UserProgramSpec, *, source: Source = Source.GRPC) -> ProgramStatus:
        known = self._programs.get(spec.name)
        if known is not None and known.source is not source:
            raise NameTaken(f"{spec.name} is held by source {known.source.word}: choose another name")
        if known is not None and known.spec != spec:
            raise AlreadyExists(f"{spec.name} runs with another spec: use Update")
        if known is None:
            self._check(spec)
            await self._begin(spec, source, generation=1)
        await self._settled[spec.name].wait()
        return self.get(spec.name)

    async def update(
        self,
        spec: UserProgramSpec,
        *,
        source: Source = Source.GRPC,
        overlap: bool = True,
        rollback: bool = True,
    ) -> ProgramStatus:
        self.updates.append((overlap, rollback))
        known = self._held(spec.name, source)
        self._check(spec)
        await self._begin(spec, source, generation=known.generation + 1)
        await self._settled[spec.name].wait()
        return self.get(spec.name)

    async def unload(self, name: Name, *, source: Source = Source.GRPC) -> None:
        self._held(name, source)
        del self._programs[name]
        await self.bus.publish(ProgramGone(name=name))

    async def start(self, name: Name) -> ProgramStatus:
        return await self._become(name, State.RUNNING)

    async def stop(self, name: Name) -> ProgramStatus:
        return await self._become(name, State.STOPPED)

    async def restart(self, name: Name) -> ProgramStatus:
        self._programs[name] = replace(self.get(name), restarts=self.get(name).restarts + 1)
        return await self._become(name, State.RUNNING)

    async def apply(
        self, specs: Sequence[ProgramSpec], *, source: Source = Source.GRPC, dry_run: bool = False
    ) -> tuple[Applied, ...]:
        applied = tuple(self._applied(spec) for spec in specs)
        for spec in specs if not dry_run else ():
            if isinstance(spec, KernelProgramSpec):
                self._kernel[spec.name] = self.kernel_status(spec)
            else:
                await self._begin(spec, source, generation=1)
        return applied

    async def delete(
        self, keys: Sequence[tuple[str, Name]], *, source: Source = Source.GRPC, dry_run: bool = False
    ) -> tuple[Applied, ...]:
        gone = []
        for kind, name in keys:
            found: dict[Name, Any] = self._kernel if kind == KERNEL_PROGRAM else dict(self._programs)
            old = found.get(name)
            gone.append(Applied(kind=kind, name=name, action="deleted" if old else "absent", old=old and old.spec))
            if old is None or dry_run:
                continue
            if kind == KERNEL_PROGRAM:
                del self._kernel[name]
            else:
                await self.unload(name, source=source)
        return tuple(gone)

    def observed(self) -> tuple[ProgramStatus, ...]:
        return tuple(self._programs[name] for name in sorted(self._programs))

    def get(self, name: Name) -> ProgramStatus:
        if name not in self._programs:
            raise NotFound(f"no program {name}: `conductor list` shows those that exist")
        return self._programs[name]

    def kernel(self) -> tuple[KernelStatus, ...]:
        return tuple(self._kernel[name] for name in sorted(self._kernel))

    def kernel_get(self, name: Name) -> KernelStatus:
        if name not in self._kernel:
            raise NotFound(f"no kernel program {name}")
        return self._kernel[name]

    async def kernel_log(self, name: Name) -> tuple[str, ...]:
        self.kernel_get(name)
        return ("0: R1=ctx() R10=fp0", "processed 2 insns")

    def costs(self) -> tuple[Cost, ...]:
        return tuple(Cost(name=name, cpu_seconds=0.5, series=7, ticks=3) for name in sorted(self._programs))

    def ready(self) -> tuple[bool, tuple[str, ...]]:
        return self.is_ready, () if self.is_ready else ("programs are being loaded",)

    def hold(self, spec: UserProgramSpec, source: Source) -> None:
        """Let another source hold a program."""
        running = Condition(state=State.RUNNING, since=self._clock)
        self._programs[spec.name] = ProgramStatus(spec=spec, source=source, condition=running)
        self._settled[spec.name] = asyncio.Event()
        self._settled[spec.name].set()

    async def touch(self, name: Name) -> None:
        """Change a program's state in a way that every watcher hears of."""
        state = State.WAITING if self.get(name).state is State.RUNNING else State.RUNNING
        await self._become(name, state)

    def kernel_status(self, spec: KernelProgramSpec) -> KernelStatus:
        function = KernelFunctionStatus(
            name=spec.programs[0].name,
            type=KernelType.TRACEPOINT,
            id=ProgramId(7),
            tag="a0b1c2d3e4f50617",
            map_ids=(MapId(3), MapId(4)),
            map_pin_path="/run/x/maps/7",
            links=(LinkStatus(id=LinkId(1), attach=TracepointLink(name="raw_syscalls/sys_enter")),),
            run_seconds=0.25,
            runs=12,
        )
        running = Condition(state=State.RUNNING, reason="", message="", since=self._clock)
        return KernelStatus(spec=spec, source=Source.GRPC, condition=running, functions=(function,))

    def _check(self, spec: UserProgramSpec) -> None:
        if not isinstance(spec.source, BuiltinSource):
            raise NotYet("this version runs no wasm")
        if spec.source.name not in BUILTINS:
            raise NotFound(f"no built-in {spec.source.name}: there are {', '.join(BUILTINS)}")
        interval = spec.config.get("interval", 5)
        if isinstance(interval, bool) or not isinstance(interval, int | float) or interval <= 0:
            raise InvalidSpec("config.interval", f"{interval!r} is no positive number")

    def _held(self, name: Name, source: Source) -> ProgramStatus:
        known = self.get(name)
        if known.source is not source:
            raise SourceHolds(f"{name} belongs to source {known.source.word}")
        return known

    async def _begin(self, spec: UserProgramSpec, source: Source, generation: int) -> None:
        first = Condition(state=State.INITIALIZED, since=self._now())
        self._programs[spec.name] = ProgramStatus(spec=spec, source=source, condition=first, generation=generation)
        self._settled[spec.name] = asyncio.Event()
        self._group.create_task(self._run(spec), name=f"run {spec.name}")
        await self.bus.publish(ProgramChanged(name=spec.name, state=State.INITIALIZED))

    async def _run(self, spec: UserProgramSpec) -> None:
        await asyncio.sleep(spec.config.get("delay", 0))
        is_broken = isinstance(spec.source, BuiltinSource) and spec.source.name == "broken"
        if spec.name in self._programs:
            await self._become(spec.name, State.FAILED if is_broken else State.RUNNING)
        self._settled[spec.name].set()

    async def _become(self, name: Name, state: State) -> ProgramStatus:
        before = self.get(name)
        failed = ("Broken", "it is broken: load another") if state is State.FAILED else ("", "")
        condition = Condition(state=state, reason=failed[0], message=failed[1], since=self._now())
        maps = tuple(
            MapStatus(name=g.name, kernel_program=g.kernel_program, map=g.map, access=Access(g.access), program_id=id_)
            for g, id_ in zip(before.spec.maps, (ProgramId(n) for n in range(100, 200)), strict=False)
        )
        self._programs[name] = replace(before, condition=condition, maps=maps)
        await self.bus.publish(ProgramChanged(name=name, state=state))
        return self.get(name)

    def _applied(self, spec: ProgramSpec) -> Applied:
        held = (self._kernel if isinstance(spec, KernelProgramSpec) else self._programs).get(spec.name)
        old: ProgramSpec | None = held.spec if held else None
        action = "created" if old is None else "unchanged" if old == spec else "configured"
        return Applied(kind=kind_of(spec), name=spec.name, action=action, old=old, new=spec)

    def _now(self) -> float:
        self._clock += 1.0
        return self._clock
