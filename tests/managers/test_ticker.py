"""The tick schedule, on virtual time."""

from __future__ import annotations

import asyncio

from conductor.errors import ConductorError, ProgramCrashed, TickFailed
from conductor.managers.ticker import MOST_INTERVAL, TickCounts, Ticker
from conductor.ports import InstanceCost
from tests.fakes import virtual_time


class Slow:
    """An instance whose ticks take as long as a test says."""

    def __init__(self, *takes: float, interval: float = 5.0) -> None:
        self.interval = interval
        self.starts: list[float] = []
        self._takes = list(takes)
        self.error: Exception | None = None

    async def tick(self) -> None:
        self.starts.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self._takes.pop(0) if self._takes else 0.1)
        if self.error is not None:
            raise self.error

    def cost(self) -> InstanceCost:
        return InstanceCost()

    async def close(self) -> None:
        pass


def run(instance: Slow, seconds: float) -> tuple[TickCounts, list[ConductorError | None]]:
    counts, told = TickCounts(), list[ConductorError | None]()

    async def whole() -> None:
        ticker = Ticker(instance=instance, counts=counts, clock=asyncio.get_running_loop().time, told=told.append)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(ticker.run())
            await asyncio.sleep(seconds)
            task.cancel()

    virtual_time.run(whole())
    return counts, told


def test_ticks_do_not_drift() -> None:
    instance = Slow()
    counts, _ = run(instance, 1001)
    assert instance.starts == [5.0 * n for n in range(1, 201)]
    assert (counts.ticks, counts.last, counts.last_ok) == (200, 1000.1, True)
    assert round(counts.seconds, 3) == 20.0


def test_a_long_tick_skips_beats_and_never_overlaps() -> None:
    instance = Slow(12.0)
    run(instance, 21)
    assert instance.starts == [5.0, 20.0]


def test_a_failed_tick_is_counted_and_told_and_the_next_one_comes() -> None:
    instance = Slow()
    instance.error = TickFailed("no")
    counts, told = run(instance, 11)
    assert (counts.ticks, counts.last, counts.last_ok) == (2, None, False)
    assert told == [instance.error] * 2


def test_a_crash_ends_the_schedule() -> None:
    instance = Slow()
    instance.error = ProgramCrashed("trap")
    counts, _ = run(instance, 100)
    assert counts.ticks == 1


def test_a_foreign_error_is_a_crash() -> None:
    instance = Slow()
    instance.error = KeyError("x")
    _, told = run(instance, 100)
    assert [type(failure) for failure in told] == [ProgramCrashed]


def test_an_interval_of_zero_or_nonsense_does_not_spin() -> None:
    assert len(run(zero := Slow(interval=0.0), 10)[1]) <= 101
    assert zero.starts
    nonsense = Slow(interval=float("nan"))
    run(nonsense, MOST_INTERVAL / 2)
    assert nonsense.starts == []
