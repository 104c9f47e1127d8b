"""The Program Manager: every program's life on this node, both halves."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Self

from conductor.errors import ConductorError, NotFound
from conductor.exporter.store import SeriesStore
from conductor.managers.admission import Admission, ObjectCheck
from conductor.managers.book import WishBook
from conductor.managers.bus import Bus
from conductor.managers.crew import Crew
from conductor.managers.errands import Errands
from conductor.managers.files import StateDir
from conductor.managers.image import ImageManager
from conductor.managers.kernel_desk import KernelDesk, KernelSide
from conductor.managers.kernel_tasks import beside
from conductor.managers.logs import LogBook
from conductor.managers.opened import Maker
from conductor.managers.pins import KernelImages, Pins
from conductor.managers.readiness import Readiness
from conductor.managers.run_costs import RunCosts
from conductor.managers.singles import Ask, Singles
from conductor.managers.wholesale import Wholesale
from conductor.model.agent import Applied
from conductor.model.ids import Name
from conductor.model.kernel import KernelProgramSpec
from conductor.model.manifest import KERNEL_PROGRAM, USER_PROGRAM
from conductor.model.program import ProgramSpec, ProgramType, Source, UserProgramSpec
from conductor.model.status import Cost, KernelStatus, ProgramStatus, State
from conductor.plan.conditions import starting
from conductor.plan.halves import Demand, Resolved, demands
from conductor.plan.merge import Key, Merged, Wish, name_taken
from conductor.ports import Lookup, Runtime

__all__ = ["ProgramManager"]

_ON_THE_WAY = {State.INITIALIZED, State.UPDATING}


class ProgramManager:
    """Own every program of this node, both halves; nothing else starts, stops or swaps one."""

    def __init__(
        self,
        *,
        kernel_half: KernelSide,
        runtimes: Mapping[ProgramType, Runtime],
        store: SeriesStore,
        lookup: Lookup,
        state_dir: StateDir,
        bus: Bus,
        logs: LogBook,
        clock: Callable[[], float],
        images: ImageManager,
        check_object: ObjectCheck | None,
        group: asyncio.TaskGroup,
    ) -> None:
        self._half, self._begun = kernel_half, clock()
        self._images = images
        self._book = WishBook(files=state_dir.wishes)
        self._desk = KernelDesk(half=kernel_half, demand=self._demand)
        pins = Pins(
            book=self._book, images=images, follow=self._follow, note=lambda name, line: logs.tell(name, "info", line)
        )
        self._kernel_images = KernelImages(book=self._book, pins=pins, hold=self._hold_images, touch=self._desk.touch)
        self._maker = Maker(
            desk=self._desk,
            pins=pins,
            runtimes=runtimes,
            store=store,
            lookup=lookup,
            cells=state_dir.cells,
            logs=logs,
            clock=clock,
        )
        self._crew = Crew(book=self._book, maker=self._maker, bus=bus, group=group, jitter=random.random)
        self._admission = Admission(maker=self._maker, objects=state_dir.objects, check_object=check_object)
        self._errands = Errands(group=group)
        self._singles = Singles(book=self._book, crew=self._crew, admission=self._admission, desk=self._desk)
        self._wholesale = Wholesale(
            book=self._book,
            crew=self._crew,
            admission=self._admission,
            desk=self._desk,
            objects=state_dir.objects,
            locks=self._singles.locks,
            try_again=self._kernel_images.try_again,
        )
        self._readiness = Readiness(crew=self._crew, desk=self._desk, book=self._book, runtimes=runtimes)
        self._run_costs = RunCosts(half=kernel_half)

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        *,
        kernel_half: KernelSide,
        runtimes: Mapping[ProgramType, Runtime],
        store: SeriesStore,
        lookup: Lookup,
        state_dir: StateDir,
        bus: Bus,
        logs: LogBook,
        clock: Callable[[], float],
        images: ImageManager,
        check_object: ObjectCheck | None = None,
    ) -> AsyncIterator[Self]:
        """Run the programs of the stored wishes and whatever is asked for later; closing never edits wishes.

        Without `check_object` an object file that is none is found out by the daemon alone.
        """
        failure: Exception | None = None
        async with asyncio.TaskGroup() as group:
            self = cls(
                kernel_half=kernel_half,
                runtimes=runtimes,
                store=store,
                lookup=lookup,
                state_dir=state_dir,
                bus=bus,
                logs=logs,
                clock=clock,
                images=images,
                check_object=check_object,
                group=group,
            )
            loops = {
                "kernel desk": self._desk.run(),
                "program events": self._crew.listen(),
                "run costs": self._run_costs.run(),
                "kernel images": self._kernel_images.run(),
            }
            try:
                async with beside(loops, before_end=self._end):
                    await self._begin()
                    yield self
            except Exception as exc:  # noqa: BLE001 - raised below: a TaskGroup would wrap it
                failure = exc
        if failure is not None:
            raise failure

    async def load(self, spec: UserProgramSpec, *, source: Source = Source.GRPC) -> ProgramStatus:
        """Keep a wish and wait for Running, Waiting or Failed; cancelling leaves the work going.

        Raises `AlreadyExists` (another spec), `NameTaken` (another source), `InvalidSpec`, `NotFound` (no such
        built-in), `StateUnwritable`; then nothing was kept.
        """
        return await self._outcome(
            await self._errands.see_through(self._singles.load(spec, source), f"load:{spec.name}")
        )

    async def update(
        self, spec: UserProgramSpec, *, source: Source = Source.GRPC, overlap: bool = True, rollback: bool = True
    ) -> ProgramStatus:
        """Swap a program for a new spec; when the new one fails the old one stays and the failure is raised."""
        work = self._singles.update(spec, source, overlap=overlap, rollback=rollback)
        return await self._errands.see_through(work, f"update:{spec.name}")

    async def unload(self, name: Name, *, source: Source = Source.GRPC) -> None:
        """Withdraw a wish and wait until both halves are gone. Raises `NotFound`, `SourceHolds`, `StateUnwritable`."""
        await self._errands.see_through(self._singles.unload(name, source), f"unload:{name}")

    async def start(self, name: Name) -> ProgramStatus:
        """Run a stopped or quarantined program again. Raises `NotFound`, `StateUnwritable`."""
        return await self._outcome(await self._errands.see_through(self._singles.start(name), f"start:{name}"))

    async def stop(self, name: Name) -> ProgramStatus:
        """End the user half; the wish stays, and so does the kernel half. Raises `NotFound`, `StateUnwritable`."""
        return await self._outcome(await self._errands.see_through(self._singles.stop(name), f"stop:{name}"))

    async def restart(self, name: Name) -> ProgramStatus:
        """End the user half and open it anew. Raises `NotFound`, `StateUnwritable`."""
        return await self._outcome(await self._errands.see_through(self._singles.restart(name), f"restart:{name}"))

    async def apply(
        self, specs: Sequence[ProgramSpec], *, source: Source = Source.GRPC, dry_run: bool = False
    ) -> tuple[Applied, ...]:
        """Keep wishes of both kinds, all or none; answers as soon as they are kept.

        Raises `NameTaken`, `InvalidSpec`, `NotFound`, `ObjectUnreadable`, `NotYet`, `StateUnwritable`.
        """
        work = self._wholesale.apply(specs, source, dry_run=dry_run)
        return await self._errands.see_through(work, "apply")

    async def delete(
        self, keys: Sequence[Key], *, source: Source = Source.GRPC, dry_run: bool = False
    ) -> tuple[Applied, ...]:
        """Withdraw wishes by (kind, name) and wait until they are gone; one that is not there is `absent`.

        Raises `NotFound` when none is there, `SourceHolds`, `StateUnwritable`.
        """
        work = self._wholesale.delete(keys, source, dry_run=dry_run)
        return await self._errands.see_through(work, "delete")

    async def set_source(self, source: Source, specs: Sequence[ProgramSpec]) -> None:
        """Replace the whole set of one source; a wish that makes no sense here is kept, and shown as Failed.

        Raises `InvalidSpec` (a name twice), `StateUnwritable`.
        """
        await self._errands.see_through(self._wholesale.replace(specs, source), f"source:{source.word}")

    def observed(self) -> tuple[ProgramStatus, ...]:
        """List user programs by name; a wish that lost its name to another source stands before the one that won."""
        lost = [
            ProgramStatus(
                spec=one.wish.spec,
                source=one.source,
                condition=name_taken(one, self._begun),
                generation=one.wish.generation,
            )
            for one in self._book.merged.refused
            if isinstance(one.wish.spec, UserProgramSpec)
        ]
        lived = [life.status() for life in self._crew if not life.is_leaving]
        return tuple(sorted([*lost, *lived], key=lambda status: (status.spec.name, -status.source)))

    def get(self, name: Name) -> ProgramStatus:
        """Tell one user program. Raises `NotFound`."""
        return self._singles.life(name).status()

    def kernel(self) -> tuple[KernelStatus, ...]:
        """List kernel programs by name; a wish that lost its name stands before the one that won."""
        seen = self._half.observed()
        names = {status.spec.name for status in seen}
        soon = [
            KernelStatus(spec=demand.spec, source=demand.source, condition=starting(self._begun))
            for name, demand in self._demand().items()
            if name not in names
        ]
        lost = [
            KernelStatus(
                spec=one.wish.spec,
                source=one.source,
                condition=name_taken(one, self._begun),
                generation=one.wish.generation,
            )
            for one in self._book.merged.refused
            if isinstance(one.wish.spec, KernelProgramSpec)
        ]
        return tuple(sorted([*lost, *soon, *seen], key=lambda status: (status.spec.name, -status.source)))

    def kernel_get(self, name: Name) -> KernelStatus:
        """Tell one kernel program. Raises `NotFound`."""
        for status in reversed(self.kernel()):
            if status.spec.name == name:
                return status
        raise NotFound(f"no kernel program is called {name}; conductor kernel list shows those that are")

    async def kernel_log(self, name: Name) -> tuple[str, ...]:
        """Lines that the kernel or its daemon said of a kernel program. Raises `NotFound`."""
        return await self._half.log(name)

    def wishes(self, source: Source) -> Mapping[Key, Wish]:
        """Answer what one source wishes, by kind and name."""
        return self._book.of(source)

    def under_way(self) -> frozenset[Key]:
        """Programs of which something was asked that has no outcome yet; those that are leaving, too."""
        lives = {(USER_PROGRAM, life.name) for life in self._crew if life.is_leaving or not life.is_settled}
        if self._desk.tried:
            return frozenset(lives)
        shown = {*self._demand(), *(status.spec.name for status in self._half.observed())}
        return frozenset(lives | {(KERNEL_PROGRAM, name) for name in shown})

    def costs(self) -> tuple[Cost, ...]:
        """Cost of each user program, restarts and updates included; kernel run time of the programs it reads from."""
        return tuple(
            self._run_costs.on(life.cost(), life.kernel_programs)
            for life in sorted(self._crew, key=lambda life: life.name)
        )

    def ready(self) -> tuple[bool, tuple[str, ...]]:
        """Whether every stored wish was tried once (or 10 s have passed), and a line per thing amiss."""
        return self._readiness.ready()

    async def _begin(self) -> None:
        """Start what was wished before; both halves are looked at together, so that nothing is unloaded by haste."""
        merged = await self._book.read()
        self._hold_images()
        await self._images.check(wish.spec for wish in self._book.wishes())
        self._crew.follow_wishes(await self._resolved(merged))
        self._readiness.begin()
        self._desk.touch()  # before anything waits: a program that starts now must find its kernel half asked for
        await self._wholesale.collect()

    async def _resolved(self, merged: Merged) -> dict[Key, Resolved]:
        found: dict[Key, Resolved] = {}
        for key, held in merged.held.items():
            if isinstance(held.wish.spec, UserProgramSpec):
                with suppress(ConductorError, TimeoutError):  # its life finds the same, and says so
                    found[key] = await self._maker.resolve(held.wish.spec)
        return found

    def _follow(self) -> None:
        """Take over what was found of images."""
        self._crew.follow_wishes()
        self._desk.touch()

    def _hold_images(self) -> None:
        """Keep what is wished, and what runs while a wish is exchanged, from being evicted."""
        running = (life.running_spec() for life in self._crew)
        self._images.keep([*(wish.spec for wish in self._book.wishes()), *(spec for spec in running if spec)])

    async def _end(self) -> None:
        """End the programs, not the wishes; kernel programs stay as they are."""
        await self._crew.end()
        self._errands.cancel()

    def _demand(self) -> Mapping[Name, Demand]:
        brought = {life.name: half for life in self._crew if (half := life.brought()) is not None}
        present = [status.spec for status in self._half.observed()]
        return demands(self._book.merged.held.values(), brought, present)

    async def _outcome(self, ask: Ask) -> ProgramStatus:
        life, asked = ask
        while True:
            await life.settled(asked)
            if life.is_leaving:
                raise NotFound(f"{life.name} was unloaded meanwhile")
            status = life.status()
            if status.condition.state not in _ON_THE_WAY or asked == life.asked:
                return status
            asked = life.asked  # somebody asked for something else in the same moment: that outcome answers both
