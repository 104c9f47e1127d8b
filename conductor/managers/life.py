"""The life of one user program: a single task that brings it where it is aimed, again and again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from conductor.errors import BudgetExceeded, ConductorError, MapMissing, ProgramStuck
from conductor.managers.kernel_desk import HalfDown
from conductor.managers.opened import Maker, Opened
from conductor.managers.spent import Spent
from conductor.managers.strikes import Strikes
from conductor.model.events import Event, ProgramChanged
from conductor.model.ids import Name
from conductor.model.program import Source, UserProgramSpec
from conductor.model.status import Condition, Cost, MapStatus, ProgramStatus, State
from conductor.plan.backoff import delay
from conductor.plan.conditions import condition_of, sentence, starting
from conductor.plan.halves import Resolved

__all__ = ["Aim", "Life"]

HOPELESS_SECONDS = 300.0
"""Between tries of what time alone cannot heal."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """Where a program should be brought."""

    spec: UserProgramSpec
    source: Source
    generation: int = 1
    stopped: bool = False
    overlap: bool = field(default=True, compare=False)
    resolved: Resolved | None = field(default=None, compare=False)
    """Known when the spec was checked already."""


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
        self._maker, self._publish, self._jitter = maker, publish, jitter
        self._aim = aim
        self._resolved = aim.resolved
        self._opened: Opened | None = None
        self._ticks: asyncio.Task[None] | None = None
        self._tick_failure: ConductorError | None = None
        self._condition = starting(maker.clock())
        self._strikes = Strikes()
        self._spent = Spent()
        self._restarts = 0
        self._reopening = False
        self._asked, self._answered = 1, 0
        self._failure: Exception | None = None
        self._failures = 0
        self._retry_at = 0.0
        self._must_restart = False
        self._leaving = False
        self._wake = asyncio.Event()
        self._waiters: list[tuple[int, asyncio.Future[Exception | None]]] = []

    # --- asking ---------------------------------------------------------------------------------------------------

    @property
    def asked(self) -> int:
        """Number of the latest request, to wait for with `settled`."""
        return self._asked

    @property
    def tried(self) -> bool:
        """Whether it had an outcome once."""
        return self._answered > 0

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
            self._ask()
        return self._asked

    def restart(self) -> int:
        """Ask for a fresh instance; quarantine and back-off are forgotten."""
        self._must_restart = True
        self._ask()
        return self._asked

    def leave(self) -> None:
        """Ask it to end for good."""
        self._leaving = True
        self._ask()

    def nudge(self) -> None:
        """Tell that something it may wait for has changed."""
        self._failures, self._retry_at = 0, 0.0
        self._wake.set()

    def stands_on(self, kernel_program: Name) -> bool:
        """Whether it is granted a map of a kernel program."""
        grants = self._resolved.grants if self._resolved else self._aim.spec.maps
        return any(grant.kernel_program == kernel_program for grant in grants)

    def brought(self) -> tuple[Source, Resolved] | None:
        """Answer whose kernel half should be there for it: during a swap the running one's, if the new brings none."""
        resolved = self._resolved
        if self._opened is not None and (resolved is None or resolved.brought is None):
            resolved = self._opened.resolved if self._opened.resolved.brought else resolved
        return None if resolved is None else (self._aim.source, resolved)

    async def settled(self, asked: int) -> Exception | None:
        """Wait for the outcome of a request; answer why it failed, None if it did not or the program left."""
        if self._answered >= asked:
            return self._failure
        waiter: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self._waiters.append((asked, waiter))
        return await waiter

    # --- telling --------------------------------------------------------------------------------------------------

    def status(self) -> ProgramStatus:
        """Answer the program as it stands."""
        grants = self._resolved.grants if self._resolved else self._aim.spec.maps
        maps = tuple(
            MapStatus(
                name=grant.name,
                kernel_program=grant.kernel_program,
                map=grant.map,
                access=grant.access,
                program_id=self._maker.desk.program_of(grant),
            )
            for grant in grants
        )
        aim = self._aim
        return ProgramStatus(
            spec=aim.spec,
            source=aim.source,
            condition=self._condition,
            restarts=self._restarts,
            generation=aim.generation,
            maps=maps,
        )

    def cost(self) -> Cost:
        """Answer what it cost so far, earlier instances included."""
        usage = self._maker.store.usage(self.name)
        cost = self._spent.cost(self.name, self._opened.instance.cost() if self._opened else None)
        return replace(
            cost,
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
                    self._wake.clear()
                    await self._rest(await self._guarded_step(group))
            finally:
                await self._shut()
                self._answer(self._asked, None)

    async def _guarded_step(self, group: asyncio.TaskGroup) -> float | None:
        asked = self._asked
        try:
            return await self._step(asked, group)
        except Exception as exc:
            log.exception("%s: a step of its life failed", self.name)
            await self._say(condition_of(exc))
            self._answer(asked, exc)
            return HOPELESS_SECONDS

    async def _step(self, asked: int, group: asyncio.TaskGroup) -> float | None:
        """Do what is to be done now; answer how long to rest, None until woken."""
        aim = self._aim
        if aim.stopped:
            await self._stop()
        elif await self._hold_back(asked):
            pass
        elif self._is_aimed(aim):
            await self._say(self._running())
        elif (pause := self._retry_at - _now()) > 0 and asked <= self._answered:
            return pause
        else:
            return await self._try(asked, aim, group)
        self._answer(asked, None)
        return None

    async def _try(self, asked: int, aim: Aim, group: asyncio.TaskGroup) -> float | None:
        try:
            await self._bring_up(asked, aim, group)
        except _Interrupted:
            return 0.0
        except Exception as exc:  # noqa: BLE001 - every failure becomes a condition; that of an agent's bug too
            failure: Exception | None = exc
        else:
            failure = None
        pause = await self._judge(aim, failure)
        self._answer(asked, failure)
        return pause

    async def _bring_up(self, asked: int, aim: Aim, group: asyncio.TaskGroup) -> None:
        resolved = aim.resolved or await self._maker.resolve(aim.spec)
        if resolved != self._resolved:
            self._resolved = resolved
            self._maker.desk.touch()
        state, reason = (State.UPDATING, "Updating") if self.is_up else (State.INITIALIZED, "Starting")
        await self._say(Condition(state=state, reason=reason, message="its kernel half and maps are made ready"))
        await self._until_synced(asked)
        is_update = self.is_up
        if not aim.overlap:
            await self._shut()
        old = self._opened
        opened = await self._maker.open(
            aim.spec, resolved, old=old, counts=self._spent.counts, told=self._told, healthy=is_update
        )
        await self._retire(old)
        self._opened = opened
        self._ticks = group.create_task(opened.ticker.run(), name=f"ticks:{self.name}")
        if old is not None and old.resolved.brought != resolved.brought:
            self._maker.desk.touch()

    async def _judge(self, aim: Aim, failure: Exception | None) -> float | None:
        """Say where an attempt left the program, and when to try again."""
        if failure is None:
            self._failures, self._retry_at = 0, 0.0
            self._restarts += self._reopening
            self._reopening = False
            await self._say(self._running())
            return None
        if not isinstance(failure, ConductorError):
            log.error("%s: could not be started", self.name, exc_info=failure)
        if isinstance(failure, ProgramStuck) and self._strikes.out(_now(), stuck=True):
            await self._shut()
            await self._say(self._strikes.condition(self.name, failure))
            return None
        if self._opened is not None and self._opened.spec == aim.spec and isinstance(failure, MapMissing):
            await self._shut()  # its map went away under it: it waits, as it would at the start
        self._failures += 1
        pause = delay(self._failures, self._jitter())
        if isinstance(failure, ConductorError) and not failure.retry:
            pause = HOPELESS_SECONDS
        self._retry_at = _now() + pause
        await self._say(self._failed(aim, failure))
        return pause

    async def _hold_back(self, asked: int) -> bool:
        """Look after a crash or a wanted restart; answer whether the program is quarantined."""
        if self._must_restart or (self._strikes.is_out and asked > self._answered):
            self._must_restart = False
            self._reopening = self.is_up or self._reopening
            self._strikes = Strikes()
            self._retry_at = 0.0
            await self._shut()
        if self._opened is not None and (fatal := self._opened.ticker.fatal) is not None:
            await self._shut()
            self._reopening = True
            out = self._strikes.out(
                _now(), stuck=isinstance(fatal, ProgramStuck), budget=isinstance(fatal, BudgetExceeded)
            )
            self._failures += 1
            self._retry_at = _now() + delay(self._strikes.count, self._jitter())
            await self._say(self._strikes.condition(self.name, fatal) if out else condition_of(fatal))
        return self._strikes.is_out

    async def _stop(self) -> None:
        await self._shut()
        message = f"stopped on request; conductor start {self.name} runs it again"
        await self._say(Condition(state=State.STOPPED, reason="Stopped", message=message))

    def _is_aimed(self, aim: Aim) -> bool:
        return self._opened is not None and self._opened.spec == aim.spec and not self._maps_moved(self._opened)

    def _maps_moved(self, opened: Opened) -> bool:
        """Whether a granted map is another one now: its kernel program was loaded anew, or is not wished any more."""
        for grant in opened.resolved.grants:
            now = self._maker.desk.program_of(grant)
            if now is not None and now != opened.programs[grant.name]:
                return True
            if now is None and self._maker.desk.status_of(grant.kernel_program) is None:
                return True
        return False

    async def _until_synced(self, asked: int) -> None:
        """Wait for the kernel half; a new request ends the waiting, as what was waited for may not be wanted now."""
        async with asyncio.TaskGroup() as group:
            synced = group.create_task(self._maker.desk.synced(), name=f"half:{self.name}")
            woken = group.create_task(self._newly_asked(asked), name=f"asked:{self.name}")
            await asyncio.wait({synced, woken}, return_when=asyncio.FIRST_COMPLETED)
            interrupted = not synced.done()
            synced.cancel()
            woken.cancel()
        if interrupted:
            raise _Interrupted

    async def _newly_asked(self, asked: int) -> None:
        while self._asked == asked:
            self._wake.clear()
            await self._wake.wait()
        self._wake.set()

    async def _retire(self, old: Opened | None) -> None:
        if old is not None:
            await self._stop_ticks()
            await old.close()
            self._spent.add(old.instance.cost())

    async def _shut(self) -> None:
        opened, self._opened = self._opened, None
        self._tick_failure = None
        await self._retire(opened)

    async def _stop_ticks(self) -> None:
        task, self._ticks = self._ticks, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    # --- saying ---------------------------------------------------------------------------------------------------

    def _told(self, failure: ConductorError | None) -> None:
        """Take what the ticker tells."""
        if str(failure) != str(self._tick_failure):
            self._tick_failure = failure
            self._wake.set()

    def _running(self) -> Condition:
        failure = self._tick_failure
        if failure is None:
            return Condition(state=State.RUNNING, reason="Running")
        message = sentence(f"{failure}; it goes on: conductor logs {self.name}")
        return Condition(state=State.RUNNING, reason=failure.reason, message=message)

    def _failed(self, aim: Aim, failure: Exception) -> Condition:
        if self._opened is not None:
            message = f"generation {aim.generation} could not take over, the one before goes on: {failure}"
            return Condition(state=State.RUNNING, reason="UpdateFailed", message=sentence(message))
        return failure.condition(0.0) if isinstance(failure, HalfDown) else condition_of(failure)

    async def _say(self, condition: Condition) -> None:
        """Change the condition; `since` moves with state and reason, and whoever watches is told."""
        before = self._condition
        same = (before.state, before.reason) == (condition.state, condition.reason)
        since = before.since if same else self._maker.clock()
        self._condition = replace(condition, since=since)
        if self._condition != before:
            await self._publish(ProgramChanged(name=self.name, state=condition.state))

    def _ask(self) -> None:
        self._asked += 1
        self._wake.set()

    def _answer(self, asked: int, failure: Exception | None) -> None:
        self._failure, self._answered = failure, max(self._answered, asked)
        for number, waiter in self._waiters:
            if number <= asked and not waiter.done():
                waiter.set_result(failure)
        self._waiters = [(number, waiter) for number, waiter in self._waiters if not waiter.done()]

    async def _rest(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass


class _Interrupted(Exception):
    """Something else was asked for meanwhile."""


def _now() -> float:
    return asyncio.get_running_loop().time()
