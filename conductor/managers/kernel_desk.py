"""The one place that asks for kernel programs: many wish at once, one converge answers them all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from conductor.errors import ConductorError, MapMissing, NotFound
from conductor.model.grants import MapGrant
from conductor.model.ids import Name, ProgramId
from conductor.model.status import Condition, KernelStatus, State
from conductor.plan.conditions import sentence
from conductor.plan.halves import Demand
from conductor.ports import MapHandle

__all__ = ["HalfDown", "KernelDesk", "KernelSide"]

log = logging.getLogger(__name__)
RETRY_SECONDS = 5.0


class KernelSide(Protocol):
    """What user programs need of the kernel half's owner."""

    def observed(self) -> tuple[KernelStatus, ...]:
        """Kernel programs as they stand."""
        ...

    async def converge(self, desired: Mapping[Name, Demand]) -> None:
        """Make the kernel as wished; return when each wish was tried once."""
        ...

    def open_map(self, grant: MapGrant) -> MapHandle:
        """Open a granted map. Raises `MapMissing`, `NotAllowed`, `NotFound`."""
        ...

    def program_of(self, grant: MapGrant) -> ProgramId | None:
        """Kernel id of the program behind a grant."""
        ...

    async def run_costs(self) -> Mapping[Name, tuple[float, int]] | None:
        """Seconds and runs by kernel program; None where nobody tells."""
        ...

    async def log(self, name: Name) -> tuple[str, ...]:
        """What the kernel or its daemon said."""
        ...


class HalfDown(MapMissing):
    """The kernel half that a user program brought along is not running. Carries its status: its reason is ours."""

    def __init__(self, status: KernelStatus) -> None:
        self.status = status
        condition = status.condition
        super().__init__(f"its kernel half {status.spec.name} is {condition.state.word}: {condition.message}")

    def condition(self, since: float) -> Condition:
        """Answer the condition that this leaves the user program in."""
        told = self.status.condition
        state = State.FAILED if told.state is State.FAILED else State.WAITING
        return Condition(state=state, reason=told.reason, message=sentence(str(self)), since=since)


class KernelDesk:
    """Own the asking: the only caller of `converge`, fed by what `demand` answers at that moment."""

    def __init__(self, *, half: KernelSide, demand: Callable[[], Mapping[Name, Demand]]) -> None:
        self._half, self._demand = half, demand
        self._asked = self._answered = 0
        self._demanded: Mapping[Name, Demand] = {}
        self._dirty = asyncio.Event()
        self._moved = asyncio.Condition()
        self.problem = ""
        """Why the last converge failed as a whole; empty when it did not."""

    @property
    def tried(self) -> bool:
        """Whether every wish was tried once."""
        return 0 < self._asked == self._answered

    def touch(self) -> None:
        """Ask for what is demanded now."""
        self._demanded = self._demand()
        self._asked += 1
        self._dirty.set()

    def touch_if_moved(self) -> None:
        """Ask again if the demand is another one than was asked for last."""
        if self._asked and self._demand() != self._demanded:
            self.touch()

    async def synced(self) -> None:
        """Wait until what is demanded now was tried once."""
        asked = self._asked
        async with self._moved:
            await self._moved.wait_for(lambda: self._answered >= asked)

    async def run(self) -> None:
        """Converge whenever the demand changed; runs for ever."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            asked = self._asked
            pause = await self._converge()
            async with self._moved:
                self._answered = asked
                self._moved.notify_all()
            if pause:
                await self._pause(pause)

    def status_of(self, name: Name) -> KernelStatus | None:
        """Answer a kernel program as it stands."""
        return next((status for status in self._half.observed() if status.spec.name == name), None)

    def away(self) -> list[str]:
        """Tell of kernel programs that wait for the daemon, in one sentence for all."""
        waiting = [s for s in self._half.observed() if s.condition.state is State.WAITING]
        if not waiting:
            return []
        names = ", ".join(status.spec.name for status in waiting[:5])
        return [f"kernel programs wait ({names}): {waiting[0].condition.message}"]

    def open(self, grant: MapGrant, *, brought: bool) -> MapHandle:
        """Open a granted map. Raises `MapMissing` with what to do (`HalfDown` for one's own half), else as opening does."""
        if brought and (status := self.status_of(grant.kernel_program)) is not None and _is_deaf(status):
            raise HalfDown(status)
        try:
            return self._half.open_map(grant)
        except (MapMissing, NotFound) as exc:
            status = self.status_of(grant.kernel_program)
            if brought and status is not None and status.condition.state is not State.RUNNING:
                raise HalfDown(status) from exc
            raise MapMissing(_missing(grant, status, exc)) from exc

    def program_of(self, grant: MapGrant) -> ProgramId | None:
        """Kernel id of the program behind a grant; None when it is not loaded."""
        try:
            return self._half.program_of(grant)
        except ConductorError:
            return None

    async def _converge(self) -> float:
        try:
            await self._half.converge(self._demand())
        except ConductorError as exc:
            self.problem = f"kernel programs could not be brought to what is wished: {exc}"
            log.warning("%s", self.problem)
            return RETRY_SECONDS
        except Exception:
            self.problem = "kernel programs could not be brought to what is wished: an error inside the agent"
            log.exception("converge failed")
            return RETRY_SECONDS
        self.problem = ""
        return 0.0

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._dirty.wait()
        except TimeoutError:
            self._dirty.set()


def _is_deaf(status: KernelStatus) -> bool:
    """Whether a kernel half failed with something loaded and not attached: its maps are there and nothing fills them."""
    loose = any(not function.links for function in status.functions)
    return status.condition.state is State.FAILED and loose


def _missing(grant: MapGrant, status: KernelStatus | None, exc: Exception) -> str:
    what = f"map {grant.map} of kernel program {grant.kernel_program} (granted as {grant.name}) is not there"
    if status is None:
        return f"{what}: no such kernel program here; apply it, or grant another: --map {grant.name}=KERNELPROGRAM"
    told = status.condition
    if told.state is State.RUNNING:
        return f"{what}: {exc}; conductor kernel get {status.spec.name} shows what it has"
    return f"{what}: that program is {told.state.word} ({told.reason}): {told.message}"
