"""All lives of user programs: who should live by the wishes, and who does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress

from conductor.errors import BudgetExceeded
from conductor.managers.aim import Aim
from conductor.managers.book import WishBook
from conductor.managers.bus import Bus, Subscription
from conductor.managers.kernel_desk import KernelDesk
from conductor.managers.life import Life
from conductor.managers.opened import Maker
from conductor.model.events import Event, KernelChanged, ProgramGone, RoadChanged
from conductor.model.ids import Name
from conductor.model.manifest import USER_PROGRAM
from conductor.model.program import UserProgramSpec
from conductor.model.status import State
from conductor.plan.halves import Resolved
from conductor.plan.merge import Held, Key

__all__ = ["Crew"]

QUEUE = 4096
LEAVE_SECONDS = 8.0
log = logging.getLogger(__name__)


class Crew:
    """Own the lives: one task per effective wish, aimed at it; ended, with all it left, when the wish is gone."""

    def __init__(
        self, *, book: WishBook, maker: Maker, bus: Bus, group: asyncio.TaskGroup, jitter: Callable[[], float]
    ) -> None:
        self._book, self._maker, self._bus, self._group, self._jitter = book, maker, bus, group, jitter
        self._lives: dict[Name, Life] = {}
        self._tasks: dict[Name, asyncio.Task[None]] = {}
        self._closing = False

    def __iter__(self) -> Iterator[Life]:
        return iter(tuple(self._lives.values()))

    def __len__(self) -> int:
        return len(self._lives)

    def get(self, name: Name) -> Life | None:
        """Answer a life; None when there is none."""
        return self._lives.get(name)

    @property
    def _desk(self) -> KernelDesk:
        return self._maker.desk

    def follow_wishes(self, checked: Mapping[Key, Resolved] | None = None, *, overlap: bool = True) -> None:
        """Make, aim and end lives so that they are those of the merged wishes; `checked` saves looking again."""
        held = {name: one for (kind, name), one in self._book.merged.held.items() if kind == USER_PROGRAM}
        for name, one in held.items():
            aim = self._aim_of(one, (checked or {}).get((USER_PROGRAM, name)), overlap=overlap)
            life = self._lives.get(name)
            if life is None:
                self._begin(aim)
            elif not life.is_leaving:
                life.aim(aim)
        for name, life in self._lives.items():
            if name not in held and not life.is_leaving:
                life.leave()
        self._desk.touch_if_moved()

    async def vacated(self, names: Collection[Name]) -> None:
        """Wait until lives that are leaving are gone."""
        leaving = {self._tasks[name] for name in names if name in self._lives and self._lives[name].is_leaving}
        if leaving:
            await asyncio.wait(leaving)

    async def listen(self) -> None:
        """Wake those who wait for what an event tells; runs for ever."""
        while True:
            with self._bus.subscribe(QUEUE) as events, suppress(BudgetExceeded):
                await self._hear(events)
            for life in self:
                life.nudge()  # events were missed: everyone looks for himself

    async def end(self) -> None:
        """End all lives and leave the wishes as they are; those that do not end in time are cut off."""
        self._closing = True
        for life in self:
            life.leave()
        if tasks := set(self._tasks.values()):
            await asyncio.wait(tasks, timeout=LEAVE_SECONDS)
        for task in tuple(self._tasks.values()):
            task.cancel()

    def _aim_of(self, one: Held, resolved: Resolved | None, *, overlap: bool) -> Aim:
        spec = one.wish.spec
        assert isinstance(spec, UserProgramSpec)
        return Aim(
            spec=spec,
            source=one.source,
            generation=one.wish.generation,
            stopped=spec.name in self._book.stopped,
            overlap=overlap and spec.overlap,
            resolved=resolved,
        )

    def _begin(self, aim: Aim) -> None:
        name = aim.spec.name
        self._maker.logs.sink(name, aim.spec.limits.log_lines)
        life = Life(aim=aim, maker=self._maker, publish=self._publish, jitter=self._jitter)
        self._lives[name] = life
        self._tasks[name] = self._group.create_task(self._live(life), name=f"life:{name}")

    async def _live(self, life: Life) -> None:
        try:
            await life.run()
        finally:
            del self._lives[life.name], self._tasks[life.name]
            if not self._closing:
                self._clear_up(life.name)
        if not self._closing:
            await self._publish(ProgramGone(name=life.name))
            self.follow_wishes()

    def _clear_up(self, name: Name) -> None:
        self._maker.store.drop(name)
        self._maker.cells.forget(name)
        self._maker.logs.forget(name)
        self._desk.touch_if_moved()

    async def _publish(self, event: Event) -> None:
        if not self._closing:
            await self._bus.publish(event)

    async def _hear(self, events: Subscription) -> None:
        async for event in events:
            match event:
                case KernelChanged(name=name):
                    for life in self:
                        if life.stands_on(name):
                            life.nudge()
                case RoadChanged(connected=True):
                    self._nudge_where(State.WAITING)
                case ProgramGone():
                    self._nudge_where(State.FAILED, "MetricClash")
                case _:
                    pass

    def _nudge_where(self, state: State, reason: str = "") -> None:
        for life in self:
            condition = life.condition
            if condition.state is state and reason in ("", condition.reason):
                life.nudge()
