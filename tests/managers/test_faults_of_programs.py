"""Programs that crash, hang or refuse to end harm nobody, and are told of."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from conductor.errors import BudgetExceeded, ProgramCrashed
from conductor.managers.strikes import STUCK, Strikes
from conductor.model.ids import Name
from conductor.model.status import State
from tests.fakes.runtime import FakeRuntime
from tests.managers.program_world import ProgramWorld, until, until_state, user


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Holds programs back until the test is over."""
    event = threading.Event()
    yield event
    event.set()


async def test_a_failed_tick_is_told_and_the_program_goes_on(world: ProgramWorld) -> None:
    sad = threading.Event()
    sad.set()

    def raise_when_sad() -> None:
        if sad.is_set():
            raise OSError("rainy day")

    world.script.on_tick["moody"] = raise_when_sad
    async with world.agent() as programs:
        await programs.load(user(mood="moody"))
        status = await until_state(programs, "p", State.RUNNING, "TickFailed")
        assert "rainy day" in status.condition.message
        assert programs.costs()[0].last_tick_ok is False
        assert programs.costs()[0].last_tick is None
        sad.clear()
        await until_state(programs, "p", State.RUNNING, "")
        await until(lambda: programs.costs()[0].last_tick is not None)
        assert world.script.opened == 1
        assert any("rainy day" in line.message for line in world.logs.tail(Name("p")))


async def test_a_program_stuck_in_a_tick_is_started_again_and_its_late_writes_are_held_back(
    world: ProgramWorld, gate: threading.Event
) -> None:
    ticks: list[str] = []

    def hang_on_the_third() -> None:
        ticks.append("tick")
        if len(ticks) == 3:
            gate.wait(20)

    world.tick_seconds = 0.3
    world.script.on_tick["stuck"] = hang_on_the_third
    async with world.agent() as programs:
        await programs.load(user(mood="stuck"))
        await until(lambda: programs.get(Name("p")).restarts == 1)
        assert world.runtime.stuck_threads == 1
        assert any("left behind" in line for line in programs.ready()[1])
        await until(lambda: (world.value("p") or 0) > 10)
        gate.set()
        await until(lambda: world.runtime.stuck_threads == 0)
        assert (world.value("p") or 0) > 10  # the third tick of the lost instance would have set it to 3
        assert programs.costs()[0].held_back > 0


async def test_programs_that_get_stuck_again_and_again_are_quarantined(
    world: ProgramWorld, gate: threading.Event
) -> None:
    world.tick_seconds = 0.1
    world.script.on_tick["stuck"] = lambda: gate.wait(20)
    async with world.agent() as programs:
        await programs.load(user(mood="stuck"))
        status = await until_state(programs, "p", State.QUARANTINED, "ProgramStuck")
        assert "conductor restart p" in status.condition.message
        assert world.runtime.stuck_threads == STUCK
        world.script.on_tick.clear()
        assert (await programs.restart(Name("p"))).condition.state is State.RUNNING


async def test_a_broken_budget_means_quarantine(world: ProgramWorld) -> None:
    world.fake_runtime = FakeRuntime()
    async with world.agent() as programs:
        await programs.load(user())
        world.fake_runtime.tick_error = BudgetExceeded("too much of everything")
        status = await until_state(programs, "p", State.QUARANTINED, "BudgetExceeded")
        assert "too much of everything" in status.condition.message
        assert world.fake_runtime.instances[0].closed
        world.fake_runtime.tick_error = None
        await asyncio.sleep(0.1)
        assert programs.get(Name("p")).condition.state is State.QUARANTINED
        assert (await programs.update(user(step=2))).condition.state is State.RUNNING


async def test_a_program_that_crashed_is_started_again(world: ProgramWorld) -> None:
    world.fake_runtime = FakeRuntime()
    async with world.agent() as programs:
        await programs.load(user())
        world.fake_runtime.tick_error = ProgramCrashed("trap")
        status = await until_state(programs, "p", State.FAILED, "ProgramCrashed")
        assert "trap" in status.condition.message
        world.fake_runtime.tick_error = None
        assert (await until_state(programs, "p", State.RUNNING)).restarts == 1
        assert [instance.closed for instance in world.fake_runtime.instances] == [True, False]


def test_five_crashes_within_ten_minutes_are_enough() -> None:
    strikes = Strikes()
    assert [strikes.out(now) for now in (0, 1, 2, 3, 4)] == [False, False, False, False, True]
    assert strikes.condition(Name("p"), ProgramCrashed("trap")).reason == "CrashLoop"


def test_crashes_that_are_long_past_do_not_count() -> None:
    strikes = Strikes()
    assert not any(strikes.out(now * 200.0) for now in range(50))


async def test_costs_add_up_over_restarts(world: ProgramWorld) -> None:
    world.fake_runtime = FakeRuntime()
    async with world.agent() as programs:
        await programs.load(user())
        await until(lambda: world.fake_runtime is not None and world.fake_runtime.instances[0].ticks > 2)
        before = programs.costs()[0]
        await programs.restart(Name("p"))
        after = programs.costs()[0]
        assert after.cpu_seconds > before.cpu_seconds
        assert after.events_dropped["full"] == after.events_delivered == after.ticks > before.ticks
        assert (after.kernel_run_seconds, after.kernel_runs) == (None, None)


async def test_a_program_that_will_not_close_is_left_behind_in_time(world: ProgramWorld, gate: threading.Event) -> None:
    world.close_seconds = 0.2
    world.script.on_close["stubborn"] = lambda: gate.wait(20)
    async with world.agent() as programs:
        await programs.load(user(mood="stubborn"))
        await programs.unload(Name("p"))
        assert programs.observed() == ()
        assert world.runtime.stuck_threads == 1
        assert (await programs.load(user())).condition.state is State.RUNNING


async def test_one_that_crashes_does_not_disturb_its_neighbours(world: ProgramWorld) -> None:
    def crash() -> None:
        raise SystemExit(3)

    world.script.on_tick["bad"] = crash
    async with world.agent() as programs:
        await programs.load(user("good"))
        await programs.load(user("bad", mood="bad"))
        before = world.value("good") or 0
        await until(lambda: (world.value("good") or 0) > before + 3)
        assert programs.get(Name("bad")).condition.state is not State.RUNNING
