"""The tick schedule of one running instance: no drift, no overlap, misses are skipped."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from conductor.errors import BudgetExceeded, ConductorError, ProgramCrashed
from conductor.managers.wake import Wake
from conductor.ports import BreaksBetweenTicks, Instance

__all__ = ["TickCounts", "Ticker"]

LEAST_INTERVAL = 0.05
MOST_INTERVAL = 86_400.0


@dataclass(slots=True)
class TickCounts:
    """What a program did over all its instances."""

    ticks: int = 0
    seconds: float = 0.0
    last: float | None = None
    """Unix seconds of the last tick that succeeded."""
    last_ok: bool = True
    held_back: int = 0
    """Writes of instances that were replaced or stuck, which went nowhere."""


class Ticker:
    """Own when an instance ticks. Its lock is held during a tick: who holds it knows that none runs."""

    def __init__(
        self,
        *,
        instance: Instance,
        counts: TickCounts,
        clock: Callable[[], float],
        told: Callable[[ConductorError | None], None],
    ) -> None:
        self._instance, self._counts, self._clock, self._told = instance, counts, clock, told
        self._broken = Wake()
        self.lock = asyncio.Lock()
        self.fatal: ConductorError | None = None
        """Why the instance is beyond use."""

    async def run(self) -> None:
        """Tick at the instance's interval until it is beyond use; the first tick was done when it was opened."""
        try:
            await self._run()
        except Exception as exc:  # noqa: BLE001 - an interval that cannot be read is a crash of its program
            self.fatal = ProgramCrashed(f"interval raised {type(exc).__name__}: {exc}")
            self._told(self.fatal)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        origin, interval, beat = loop.time(), self._interval(), 0
        if isinstance(self._instance, BreaksBetweenTicks):
            self._instance.when_broken(lambda: loop.call_soon_threadsafe(self._broken.set))
        while self.fatal is None:
            beat = max(beat, math.floor((loop.time() - origin) / interval)) + 1
            await self._nap(origin + beat * interval - loop.time())
            async with self.lock:
                await self._tick()
            if (fresh := self._interval()) != interval:
                origin, interval, beat = loop.time(), fresh, 0

    async def _nap(self, seconds: float) -> None:
        """Sleep until the next tick; an instance that broke meanwhile is ticked at once, to say why."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._broken.wait()
        self._broken.clear()

    async def once(self) -> None:
        """Tick now. Raises what the tick raised."""
        async with self.lock:
            if (failure := await self._tick()) is not None:
                raise failure

    async def _tick(self) -> ConductorError | None:
        started = asyncio.get_running_loop().time()
        failure: ConductorError | None = None
        try:
            await self._instance.tick()
        except ConductorError as exc:
            failure = exc
        except Exception as exc:  # noqa: BLE001 - a runtime that raises foreign errors is a crash of its program
            failure = ProgramCrashed(f"tick raised {type(exc).__name__}: {exc}")
        self._count(asyncio.get_running_loop().time() - started, failure)
        if isinstance(failure, ProgramCrashed | BudgetExceeded):
            self.fatal = failure
        self._told(failure)
        return failure

    def _count(self, seconds: float, failure: ConductorError | None) -> None:
        counts = self._counts
        counts.ticks += 1
        counts.seconds += seconds
        counts.last_ok = failure is None
        if failure is None:
            counts.last = self._clock()

    def _interval(self) -> float:
        """Answer the program's interval, within reason: it is asked again after each tick."""
        interval = self._instance.interval
        return min(max(interval, LEAST_INTERVAL), MOST_INTERVAL) if math.isfinite(interval) else MOST_INTERVAL
