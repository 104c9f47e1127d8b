"""What is known, and whom a change concerns."""

from __future__ import annotations

from dataclasses import replace

from conductor.controller.known import NODE, Known
from conductor.model.fleet import (
    NODE_STATES,
    USER_PROGRAM,
    USER_PROGRAMS,
    Assignment,
    FleetKey,
    NodeRow,
    NodeStateRow,
    ProgramReport,
)
from conductor.model.fleet_rows import ProgramRow
from conductor.model.fleet_strategy import ALL_NODES, Strategy
from conductor.model.labels import Selector
from conductor.model.status import State
from conductor.plan.fleet_world import Unresolved

A, B = FleetKey(USER_PROGRAM, "a"), FleetKey(USER_PROGRAM, "b")
ON_GPU = Selector(match_labels={"gpu": "yes"})


def a_program(name: str = "a", *, version: str = "1", selector: Selector = ALL_NODES) -> ProgramRow:
    return ProgramRow(
        kind=USER_PROGRAM,
        name=name,
        uid=name,
        resource_version=version,
        generation=1,
        spec_hash="x",
        selector=selector,
        strategy=Strategy(),
    )


def a_state(*programs: str, version: str = "1", generation: int = 1, observed: int = 1) -> NodeStateRow:
    spec = tuple(Assignment(USER_PROGRAM, name, f"up-{name}", "h") for name in programs)
    return NodeStateRow(
        name="n1", resource_version=version, spec=spec, generation=generation, observed_generation=observed
    )


def known(now: float = 1000.0) -> Known:
    return Known(wall=lambda: now)


def test_what_is_told_late_does_not_undo_what_we_wrote() -> None:
    world = known()
    world.learn(a_state(version="9"))
    world.learn(a_state("a", version="10"))
    assert world.learn(a_state(version="9")) == set()
    assert world.states["n1"].spec


def test_what_is_gone_is_gone() -> None:
    world = known()
    world.learn(a_program())
    world.learn(a_state("a"))
    assert world.lose(USER_PROGRAMS, "a") == {A}
    assert world.lose(USER_PROGRAMS, "a") == set()
    assert world.lose(NODE_STATES, "n1") == {FleetKey(NODE, "n1"), A}
    assert not world.programs
    assert not world.states


def test_a_node_concerns_the_programs_that_are_meant_for_it_before_or_after() -> None:
    world = known()
    world.learn(a_program("a", selector=ON_GPU))
    world.learn(a_program("b"))
    assert world.learn(NodeRow(name="n1", labels={"gpu": "yes"})) == {FleetKey(NODE, "n1"), A, B}
    assert world.learn(NodeRow(name="n1")) == {FleetKey(NODE, "n1"), A, B}
    assert world.learn(NodeRow(name="n1", ready=False)) == {FleetKey(NODE, "n1"), B}


def test_a_state_concerns_the_programs_that_differ_in_it() -> None:
    world = known()
    for name in "ab":
        world.learn(a_program(name))
    world.learn(a_state("a", "b"))
    assert world.learn(a_state("a", version="2")) == {B}
    report = ProgramReport(kind=USER_PROGRAM, name="a", hash="h", state=State.RUNNING)
    assert world.learn(replace(a_state("a", version="3"), observed=(report,))) == {A}


def test_a_state_concerns_programs_that_are_to_go_and_those_that_wait_for_room() -> None:
    world = known()
    world.learn(a_state("b", generation=2))
    world.learn(replace(a_program("a"), deleted_at=990.0))
    world.learn(a_program("b"))
    assert A in world.learn(a_state("b", generation=2, observed=2, version="2")), (
        "it waits for all nodes to have looked"
    )
    world.lose(USER_PROGRAMS, "a")
    world.crowded = {A}
    assert A in world.learn(a_state(version="3"))


def test_an_entry_of_a_program_that_is_not_there_concerns_it() -> None:
    assert A in known().learn(a_state("a"))


def test_a_server_whose_clock_is_ahead_holds_no_deletion_longer() -> None:
    world = known(1000.0)
    world.learn(a_program())
    world.learn(replace(a_program(version="2"), deleted_at=90_000.0))
    assert world.programs[A].deleted_at == 1000.0


def test_a_wish_of_an_older_spec_or_of_an_earlier_program_is_dropped() -> None:
    for changes in ({"spec_hash": "y"}, {"uid": "other"}):
        world = known()
        world.learn(a_program())
        world.wishes[A] = Unresolved(message="no")
        world.learn(replace(a_program(version="2"), **changes))  # type: ignore[arg-type]
        assert not world.wishes
