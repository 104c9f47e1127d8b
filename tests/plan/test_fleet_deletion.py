"""How programs, nodes and revisions go."""

from __future__ import annotations

from dataclasses import replace

from conductor.model.fleet import FINALIZER
from conductor.model.fleet_status import FleetStatus
from conductor.model.fleet_strategy import Share, Strategy
from conductor.model.labels import Selector
from conductor.plan.fleet_actions import DeleteNodeState
from conductor.plan.fleet_revisions import KEPT
from tests.fakes.fleet import Fleet

AT_ONCE = Strategy(canary=Share(0), max_unavailable=Share(100, is_percent=True))
ON_GPU = Selector(match_labels={"gpu": "yes"})


def reasons(status: FleetStatus) -> dict[str, tuple[bool, str]]:
    return {item.type: (item.status, item.reason) for item in status.conditions}


def test_a_deleted_program_goes_from_the_nodes_first_and_leaves_nothing() -> None:
    fleet = Fleet("n1", "n2")
    key = fleet.apply("p", "A", strategy=AT_ONCE)
    fleet.run()
    fleet.delete(key)
    fleet.settle()
    assert fleet.assigned(key) == {}
    assert key in fleet.programs, "its nodes have not let it go yet"
    fleet.run()
    assert not fleet.programs
    assert not fleet.revisions
    assert all(not state.spec for state in fleet.states.values())


def test_a_node_that_is_away_or_gone_never_holds_a_deletion() -> None:
    fleet = Fleet("n1", "n2", "n3")
    key = fleet.apply("p", "A", strategy=AT_ONCE)
    fleet.run()
    fleet.ready("n2", ready=False)
    del fleet.nodes["n3"]
    fleet.delete(key)
    fleet.settle()
    fleet.answer("n1")
    fleet.settle()
    assert not fleet.programs
    assert fleet.assigned(key) == {}


def test_a_live_node_that_says_nothing_holds_a_deletion_for_two_minutes() -> None:
    fleet = Fleet("n1")
    key = fleet.apply("p", "A", strategy=AT_ONCE)
    fleet.run()
    fleet.delete(key)
    fleet.settle()
    assert fleet.plan().later == {key: fleet.now + 120}
    fleet.now += 119
    fleet.settle()
    assert key in fleet.programs
    fleet.now += 1
    fleet.settle()
    assert not fleet.programs
    assert fleet.told[-1].reason == "DeletedUnanswered"


def test_other_finalizers_stay() -> None:
    fleet = Fleet()
    key = fleet.apply("p", "A")
    fleet.settle()
    fleet.programs[key] = replace(fleet.programs[key], finalizers=("theirs", FINALIZER))
    fleet.delete(key)
    fleet.settle()
    assert fleet.programs[key].finalizers == ("theirs",)


def test_what_went_without_our_leave_is_taken_from_the_nodes() -> None:
    fleet = Fleet("n1")
    key = fleet.apply("p", "A", strategy=AT_ONCE)
    fleet.run()
    del fleet.programs[key]
    fleet.settle()
    assert fleet.assigned(key) == {}
    assert not fleet.revisions


def test_a_program_made_anew_has_revisions_of_its_own() -> None:
    fleet = Fleet("n1")
    key = fleet.apply("p", "A", strategy=AT_ONCE)
    fleet.run()
    (before,) = fleet.revisions.values()
    del fleet.programs[key]
    fleet.apply("p", "A", strategy=AT_ONCE)
    fleet.run()
    (after,) = fleet.revisions.values()
    assert after.name == before.name
    assert after.owner_uid != before.owner_uid, "the one of before goes with its owner"
    assert fleet.assigned(key) == {"n1": "A"}


def test_the_object_of_a_node_that_is_gone_goes_too() -> None:
    fleet = Fleet("n1", "n2")
    fleet.apply("p", "A", strategy=AT_ONCE)
    fleet.run()
    del fleet.nodes["n2"]
    assert DeleteNodeState(node="n2", resource_version=fleet.states["n2"].resource_version) in fleet.plan().actions
    fleet.run()
    assert set(fleet.states) == {"n1"}


def test_only_the_last_revisions_stay_beside_those_in_use() -> None:
    fleet = Fleet("n1")
    key = fleet.apply("p", "A", strategy=AT_ONCE)
    fleet.run()
    (first,) = fleet.revisions.values()
    for number in range(2, 20):
        fleet.revisions[f"old-{number}"] = replace(first, name=f"old-{number}", hash="x", spec_hash="x", number=number)
    fleet.settle()
    assert len(fleet.revisions) == KEPT + 1
    assert first.name in fleet.revisions, "it runs"
    assert fleet.assigned(key) == {"n1": "A"}
