"""Costs over all instances of a program: counters never fall, and books of records balance at every moment."""

from __future__ import annotations

from conductor.errors import ProgramCrashed
from conductor.managers.spent import Spent
from conductor.model.ids import Name
from conductor.model.status import Cost, State, StreamCost
from conductor.ports import InstanceCost
from tests.fakes.runtime import FakeRuntime
from tests.managers.program_world import ProgramWorld, until_state, user

NAME = Name("p")


def instance(**books: StreamCost) -> InstanceCost:
    """An instance with these streams; the whole is their sum."""
    reasons = {reason for one in books.values() for reason in one.dropped}
    losses = [one.kernel_losses for one in books.values() if one.kernel_losses is not None]
    return InstanceCost(
        cpu_seconds=1.0,
        events_taken=sum(one.taken for one in books.values()),
        events_delivered=sum(one.delivered for one in books.values()),
        events_queued=sum(one.queued for one in books.values()),
        events_dropped={reason: sum(one.dropped.get(reason, 0) for one in books.values()) for reason in reasons},
        kernel_losses=sum(losses) if losses else None,
        streams=books,
    )


def balances(cost: Cost) -> bool:
    whole = cost.events_taken == cost.events_delivered + cost.events_queued + sum(cost.events_dropped.values())
    return whole and all(
        one.taken == one.delivered + one.queued + sum(one.dropped.values()) for one in cost.streams.values()
    )


def test_what_waits_between_two_instances_is_counted_once() -> None:
    """The first left 4; in between they wait; the second took them over, and 3 of its own."""
    spent = Spent()
    first = instance(a=StreamCost(taken=10, delivered=5, queued=4, dropped={"trap": 1}))
    assert spent.cost(NAME, first).events_taken == 10
    spent.add(first)
    between = spent.cost(NAME, None)
    assert balances(between)
    assert (between.events_taken, between.events_queued) == (10, 4)
    after = spent.cost(NAME, instance(a=StreamCost(taken=7, delivered=6, queued=1)))
    assert balances(after)
    assert (after.events_taken, after.events_delivered, after.events_queued) == (13, 11, 1)
    assert after.streams["a"].dropped == {"trap": 1}


def test_an_instance_that_never_came_up_counts_too() -> None:
    """It took 2 of the 4 that waited, and broke over them in its first tick."""
    spent = Spent()
    spent.add(instance(a=StreamCost(taken=4, queued=4)))
    spent.add(instance(a=StreamCost(taken=4, queued=2, dropped={"trap": 2})))
    cost = spent.cost(NAME, None)
    assert balances(cost)
    assert (cost.events_taken, cost.events_queued, cost.events_dropped) == (4, 2, {"trap": 2})


def test_streams_come_and_go_with_versions() -> None:
    spent = Spent()
    spent.add(instance(a=StreamCost(taken=3, delivered=3, kernel_losses=1), b=StreamCost(taken=1, queued=1)))
    cost = spent.cost(NAME, instance(b=StreamCost(taken=1, delivered=1), c=StreamCost(taken=2, delivered=2)))
    assert balances(cost)
    assert {name: one.taken for name, one in cost.streams.items()} == {"a": 3, "b": 1, "c": 2}
    assert {name: one.kernel_losses for name, one in cost.streams.items()} == {"a": 1, "b": None, "c": None}
    assert cost.kernel_losses == 1


async def test_what_is_kept_for_a_next_instance_is_forgotten_at_unload_alone(world: ProgramWorld) -> None:
    world.fake_runtime = runtime = FakeRuntime()
    async with world.agent() as programs:
        await programs.load(user())
        await programs.restart(NAME)
        await programs.stop(NAME)
        await programs.start(NAME)
        runtime.tick_error = ProgramCrashed("trap")
        await until_state(programs, "p", State.FAILED, "ProgramCrashed")
        assert runtime.forgotten == []
        await programs.unload(NAME)
        assert runtime.forgotten == [NAME]


async def test_what_a_failed_start_cost_is_counted(world: ProgramWorld) -> None:
    """Each tick of the fake costs a second; none of these instances ever ran."""
    world.fake_runtime = runtime = FakeRuntime()
    runtime.tick_error = ProgramCrashed("trap")
    async with world.agent() as programs:
        assert (await programs.load(user())).condition.state is State.FAILED
        assert programs.costs()[0].cpu_seconds == sum(one.ticks for one in runtime.instances) > 0
