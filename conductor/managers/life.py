"""The life of one user program: a single task that brings it where it is aimed, again and again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from conductor.errors import BudgetExceeded, ConductorError, MapMissing, ProgramStuck
from conductor.managers.aim import Aim
from conductor.managers.asks import Asks, Overtaken
from conductor.managers.opened import Maker, Opened
from conductor.managers.patience import HOPELESS_SECONDS, Patience
from conductor.managers.spent import Spent
from conductor.managers.standing import Standing
from conductor.managers.strikes import Strikes
from conductor.model.events import Event
from conductor.model.grants import MapGrant
from conductor.model.ids import Name
from conductor.model.program import Source, UserProgramSpec
from conductor.model.status import Condition, Cost, MapStatus, ProgramStatus
from conductor.plan.conditions import condition_of, noted
from conductor.plan.halves import Resolved
from conductor.plan.images import digest_of, image_of

__all__ = ["Life"]

log = logging.getLogger(__name__)


class Life:
    """Own one user program. Others say what they ask for and wait for the answer; only `run` touches the program."""

    def __init__(
        self,
        *,
        aim: Aim,
        maker: Maker,
        publish: Callable[[Event], Awaitable[None]],
        jitter: Callable[[], float],
    ) -> None:
        self.name: Name = aim.spec.name
        self._maker, self._aim = maker, aim
        self._resolved = aim.resolved
        self._asks = Asks()
        self._standing = Standing(name=self.name, clock=maker.clock, publish=publish, tell=maker.logs.tell)
        self._patience = Patience(jitter=jitter)
        self._strikes = Strikes()
        self._spent = Spent()
        self._opened: Opened | None = None
        self._ticks: asyncio.Task[None] | None = None
        self._tick_failure: ConductorError | None = None
        self._restarts = 0
        self.note = ""
        """What whoever asked for its image should know."""
        self._reopening = False
        """The next instance that runs counts as a restart."""
        self._must_restart = False
        self._leaving = False

    # --- asking ---------------------------------------------------------------------------------------------------

    @property
    def asked(self) -> int:
        """Number of the latest request, to wait for with `settled`."""
        return self._asks.latest

    @property
    def tried(self) -> bool:
        """Whether it had an outcome once."""
        return self._asks.answered > 0

    @property
    def is_settled(self) -> bool:
        """Whether what was asked last had an outcome."""
        return self._asks.answered >= self._asks.latest

    @property
    def is_up(self) -> bool:
        """Whether an instance runs."""
        return self._opened is not None

    @property
    def is_leaving(self) -> bool:
        """Whether it was told to end."""
        return self._leaving

    def aim(self, aim: Aim) -> int:
        """Ask for another aim; answer the number to wait for. The same aim again asks nothing."""
        if aim != self._aim:
            self._aim = aim
            self._resolved = aim.resolved if aim.resolved is not None else self._resolved
            self._asks.ask()
        return self._asks.latest

    def restart(self) -> int:
        """Ask for a fresh instance; quarantine and back-off are forgotten."""
        self._must_restart = True
        return self._asks.ask()

    def leave(self) -> None:
        """Ask it to end for good."""
        self._leaving = True
        self._asks.ask()

    def nudge(self) -> None:
        """Tell that something it may wait for has changed."""
        self._patience.forget()
        self._asks.wake.set()

    def stands_on(self, kernel_program: Name) -> bool:
        """Whether it is granted a map of a kernel program."""
        return kernel_program in self.kernel_programs

    @property
    def kernel_programs(self) -> set[Name]:
        """Kernel programs whose maps it is granted."""
        return {grant.kernel_program for grant in self._grants}

    @property
    def _grants(self) -> tuple[MapGrant, ...]:
        return self._resolved.grants if self._resolved else self._aim.spec.maps

    def running_spec(self) -> UserProgramSpec | None:
        """What the instance that runs was made of."""
        return self._opened.spec if self._opened is not None else None

    def brought(self) -> tuple[Source, Resolved] | None:
        """Answer whose kernel half should be there for it: during a swap the running one's, if the new brings none."""
        resolved = self._resolved
        if self._opened is not None and (resolved is None or resolved.brought is None):
            resolved = self._opened.resolved if self._opened.resolved.brought else resolved
        return None if resolved is None else (self._aim.source, resolved)

    async def settled(self, asked: int) -> Exception | None:
        """Wait for the outcome of a request; answer why it failed, None if it did not or the program left."""
        return await self._asks.outcome(asked)

    # --- telling --------------------------------------------------------------------------------------------------

    @property
    def condition(self) -> Condition:
        """Where it stands."""
        return self._standing.condition

    def status(self) -> ProgramStatus:
        """Answer the program as it stands."""
        maps = tuple(
            MapStatus(
                name=grant.name,
                kernel_program=grant.kernel_program,
                map=grant.map,
                access=grant.access,
                program_id=self._maker.desk.program_of(grant),
            )
            for grant in self._grants
        )
        return ProgramStatus(
            spec=self._aim.spec,
            source=self._aim.source,
            condition=noted(self.condition, self.note),
            restarts=self._restarts,
            generation=self._aim.generation,
            maps=maps,
            digest=digest_of(self._aim.spec),
        )

    def cost(self) -> Cost:
        """Answer what it cost so far, earlier instances included."""
        usage = self._maker.store.usage(self.name)
        return self._spent.cost(
            self.name,
            self._opened.instance.cost() if self._opened else None,
            series=usage.series,
            series_refused=usage.refused,
            log_lines_dropped=self._maker.logs.dropped(self.name),
        )

    # --- living ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Live until told to leave; whatever goes wrong becomes a condition."""
        async with asyncio.TaskGroup() as group:
            try:
                while not self._leaving:
                    self._asks.wake.clear()
                    await self._asks.rest(await self._guarded_step(group))
            finally:
                await self._shut()
                if self._leaving:
                    await self._maker.forget(self._aim.spec)
                self._asks.answer(self._asks.latest, None)

    async def _guarded_step(self, group: asyncio.TaskGroup) -> float | None:
        asked = self._asks.latest
        try:
            return await self._step(asked, group)
        except Exception as exc:
            log.exception("%s: a step of its life failed", self.name)
            await self._standing.say(condition_of(exc))
            self._asks.answer(asked, exc)
            return HOPELESS_SECONDS

    async def _step(self, asked: int, group: asyncio.TaskGroup) -> float | None:
        """Do what is to be done now; answer how long to rest, None until woken."""
        aim, is_new = self._aim, asked > self._asks.answered
        if aim.stopped:
            await self._shut()
            await self._standing.say_stopped()
        elif await self._is_out(is_new=is_new):
            self._asks.answer(asked, None)
            return self._strikes.left(asyncio.get_running_loop().time())
        elif self._is_aimed(aim):
            await self._standing.say_running(self._tick_failure)
        elif (pause := self._patience.left()) > 0 and not is_new:
            return pause
        else:
            return await self._try(asked, aim, group)
        self._asks.answer(asked, None)
        return None

    async def _is_out(self, *, is_new: bool) -> bool:
        """Look after a wanted restart or a crash; answer whether the program is in quarantine."""
        if self._must_restart or (self._strikes.is_out and is_new):
            self._must_restart = False
            self._reopening = self._reopening or self.is_up
            self._strikes = Strikes()
            self._patience.forget()
            await self._shut()
        if self._opened is not None and (fatal := self._opened.ticker.fatal) is not None:
            await self._shut()
            self._reopening = True
            out = self._strike(fatal)
            self._patience.fail(fatal, self._strikes.count)
            await self._standing.say(self._strikes.condition(self.name, fatal) if out else condition_of(fatal))
        if self._strikes.is_out and self._strikes.left(asyncio.get_running_loop().time()) == 0.0:
            self._strikes.release()
            self._patience.forget()
        return self._strikes.is_out

    async def _try(self, asked: int, aim: Aim, group: asyncio.TaskGroup) -> float | None:
        try:
            await self._bring_up(asked, aim, group)
        except Overtaken:
            return 0.0
        except Exception as exc:  # noqa: BLE001 - every failure becomes a condition; that of an agent's bug too
            pause = await self._fail(aim, exc)
            self._asks.answer(asked, exc)
            return pause
        await self._succeed()
        self._asks.answer(asked, None)
        return None

    async def _bring_up(self, asked: int, aim: Aim, group: asyncio.TaskGroup) -> None:
        """Image, kernel half, maps, the instance and its first tick; then the one before goes."""
        if not self._maker.pins.is_settled(aim.spec):
            await self._fetch(asked, aim)
        resolved = aim.resolved or await self._maker.resolve(aim.spec)
        if resolved != self._resolved:
            self._resolved = resolved
            self._maker.desk.touch()
        is_update = self.is_up
        await self._standing.say_starting(is_update=is_update)
        if resolved.grants:  # who needs no map waits for no kernel daemon, however slow
            await self._asks.unless_newer(asked, self._maker.desk.synced())
        if not aim.overlap:
            await self._shut()
        old = self._opened
        opened = await self._maker.open(
            aim.spec, resolved, old=old, spent=self._spent, told=self._told, healthy=is_update
        )
        await self._retire(old)
        self._opened = opened
        self._ticks = group.create_task(opened.ticker.run(), name=f"ticks:{self.name}")
        self._maker.desk.touch_if_moved()

    async def _succeed(self) -> None:
        self._patience.forget()
        self._restarts += self._reopening
        self._reopening = False
        await self._standing.say_running(self._tick_failure)

    async def _fail(self, aim: Aim, failure: Exception) -> float | None:
        """Say where a failed attempt left the program; answer when to try again."""
        if not isinstance(failure, ConductorError):
            log.error("%s: could not be started", self.name, exc_info=failure)
        if isinstance(failure, ProgramStuck) and self._strike(failure):
            await self._shut()
            await self._standing.say(self._strikes.condition(self.name, failure))
            return None
        if self._opened is not None and self._opened.spec.runs_as(aim.spec) and isinstance(failure, MapMissing):
            await self._shut()  # its map went away under it: it waits, as it would at the start
        pause = self._patience.fail(failure)
        await self._standing.say_failed(failure, generation=aim.generation, old_runs=self.is_up)
        return pause

    def _strike(self, failure: Exception) -> bool:
        stuck, budget = isinstance(failure, ProgramStuck), isinstance(failure, BudgetExceeded)
        return self._strikes.out(asyncio.get_running_loop().time(), stuck=stuck, budget=budget)

    def _is_aimed(self, aim: Aim) -> bool:
        opened = self._opened
        return opened is not None and opened.spec.runs_as(aim.spec) and not self._maps_moved(opened)

    def _maps_moved(self, opened: Opened) -> bool:
        """Whether a granted map is another one now: its kernel program was loaded anew, or is not wished any more."""
        for grant in opened.resolved.grants:
            now = self._maker.desk.program_of(grant)
            if now is not None and now != opened.programs[grant.name]:
                return True
            if now is None and self._maker.desk.status_of(grant.kernel_program) is None:
                return True
        return False

    async def _fetch(self, asked: int, aim: Aim) -> None:
        """Have the image pulled. A wish that was pinned to its digest by that is another aim: it interrupts."""
        image = image_of(aim.spec)
        await self._standing.say_pulling(image.url if image else "", is_update=self.is_up)
        settled = await self._asks.unless_newer(asked, self._maker.pins.settle(aim.source, aim.spec))
        self.note = settled.note
        if settled.moved:
            raise Overtaken

    async def _shut(self) -> None:
        opened, self._opened = self._opened, None
        self._tick_failure = None
        await self._retire(opened)

    async def _retire(self, opened: Opened | None) -> None:
        """End the ticks, then the instance, and add up what it cost."""
        if opened is None:
            return
        task, self._ticks = self._ticks, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        await opened.close()
        self._spent.add(opened.instance.cost())
        self._maker.pins.let_go()

    def _told(self, failure: ConductorError | None) -> None:
        """Take what the ticker tells."""
        if str(failure) != str(self._tick_failure):
            self._tick_failure = failure
            self._asks.wake.set()
