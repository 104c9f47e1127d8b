"""How one user program stands, and who is told when that changes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from conductor.errors import ConductorError
from conductor.managers.kernel_desk import HalfDown
from conductor.model.events import Event, ProgramChanged
from conductor.model.ids import Name
from conductor.model.status import Condition, State
from conductor.plan.backoff import is_mended_elsewhere
from conductor.plan.conditions import condition_of, sentence, starting

__all__ = ["Standing"]


_LEVELS = {State.FAILED: "error", State.QUARANTINED: "error", State.WAITING: "warning"}
_PASSING = {State.INITIALIZED, State.UPDATING, State.PULLING}
"""On the way to an outcome: not worth a line in the log each time that it is tried again."""


class Standing:
    """Own a program's condition; `since` moves with state and reason; every change is published, every outcome logged."""

    def __init__(
        self,
        *,
        name: Name,
        clock: Callable[[], float],
        publish: Callable[[Event], Awaitable[None]],
        tell: Callable[[Name, str, str], None],
    ) -> None:
        self._name, self._clock, self._publish, self._tell = name, clock, publish, tell
        self.condition = self._told = starting(clock())

    async def say(self, condition: Condition) -> None:
        """Change the condition."""
        before = self.condition
        same = (before.state, before.reason) == (condition.state, condition.reason)
        self.condition = replace(condition, since=before.since if same else self._clock())
        self._log()
        if self.condition != before:
            await self._publish(ProgramChanged(name=self._name, state=condition.state))

    def _log(self) -> None:
        now, told = self.condition, self._told
        if now.state in _PASSING or (now.state, now.reason) == (told.state, told.reason):
            return
        self._told = now
        level = _LEVELS.get(now.state, "warning" if now.reason else "info")
        why = f" ({now.reason})" if now.reason else ""
        self._tell(self._name, level, f"{now.state.word}{why}{': ' if now.message else ''}{now.message}")

    async def say_starting(self, *, is_update: bool) -> None:
        """It is brought up, or a new version beside the old one."""
        state, reason = (State.UPDATING, "Updating") if is_update else (State.INITIALIZED, "Starting")
        await self.say(Condition(state=state, reason=reason, message="its kernel half and maps are made ready"))

    async def say_pulling(self, url: str, *, is_update: bool) -> None:
        """Its image is fetched from a registry."""
        state = State.UPDATING if is_update else State.PULLING
        message = f"image {url} is being pulled; conductor image list shows what is here"
        await self.say(Condition(state=state, reason="Pulling", message=message))

    async def say_running(self, tick_failure: ConductorError | None) -> None:
        """It runs; `tick_failure` is why its last tick failed."""
        if tick_failure is None:
            await self.say(Condition(state=State.RUNNING))
            return
        message = sentence(f"{tick_failure}; it goes on: conductor logs {self._name}")
        await self.say(Condition(state=State.RUNNING, reason=tick_failure.reason, message=message))

    async def say_stopped(self) -> None:
        """It was stopped by a person: no trouble, so no reason."""
        message = f"stopped on request; conductor start {self._name} runs it again"
        await self.say(Condition(state=State.STOPPED, message=message))

    async def say_failed(self, failure: Exception, *, generation: int, old_runs: bool) -> None:
        """It could not be brought up; perhaps the version before runs on."""
        if old_runs:
            message = f"generation {generation} could not take over, the one before goes on: {failure}"
            await self.say(Condition(state=State.RUNNING, reason="UpdateFailed", message=sentence(message)))
        else:
            await self.say(failure.condition(0.0) if isinstance(failure, HalfDown) else self._failed(failure))

    def _failed(self, failure: Exception) -> Condition:
        condition = condition_of(failure)
        if not is_mended_elsewhere(failure):
            return condition
        again = f"it is tried again by itself, and at once by conductor restart {self._name}"
        return replace(condition, message=sentence(f"{condition.message}; {again}"))
