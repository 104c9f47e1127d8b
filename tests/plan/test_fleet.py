"""What a fleet's nodes are told, besides roll-outs: placement, deletion, limits, what is cleaned up."""

from __future__ import annotations

from dataclasses import replace

from conductor.model.fleet import FINALIZER, KERNEL_PROGRAM, MOST_PROGRAMS, FleetKey
from conductor.model.fleet_status import FleetStatus, Phase
from conductor.model.fleet_strategy import Share, Strategy
from conductor.model.labels import Selector
from conductor.model.status import State
from conductor.plan.fleet import plan
from conductor.plan.fleet_actions import CreateNodeState, CreateRevision, WriteNodeState
from tests.fakes.fleet import Fleet, up

AT_ONCE = Strategy(canary=Share(0), max_unavailable=Share(100, is_percent=True))
ON_GPU = Selector(match_labels={"gpu": "yes"})


def reasons(status: FleetStatus) -> dict[str, tuple[bool, str]]:
    return {item.type: (item.status, item.reason) for item in status.conditions}


def test_every_node_has_its_object() -> None:
    fleet = Fleet("n1", "n2")
    assert [type(action) for action in fleet.plan().actions] == [CreateNodeState, CreateNodeState]


def test_a_selector_places_and_a_label_that_goes_takes_away() -> None:
    fleet = Fleet("n1")
    fleet.join("n2", gpu="yes")
    key = fleet.apply("p", "A", strategy=AT_ONCE, selector=ON_GPU)
    fleet.run()
    assert fleet.assigned(key) == {"n2": "A"}
    fleet.join("n2")
    fleet.join("n1", gpu="yes")
    fleet.run()
    assert fleet.assigned(key) == {"n1": "A"}


def test_selection_ignores_readiness() -> None:
    fleet = Fleet("n1", "n2")
    fleet.ready("n2", ready=False)
    key = fleet.apply("p", "A", strategy=AT_ONCE)
    fleet.run()
    assert fleet.assigned(key) == {"n1": "A", "n2": "A"}


def test_a_selector_that_takes_no_node_is_not_ready_and_says_so() -> None:
    fleet = Fleet("n1")
    key = fleet.apply("p", "A", selector=ON_GPU)
    fleet.run(60)
    assert reasons(fleet.status(key))["Ready"] == (False, "NoNodes")


def test_both_halves_of_a_change_are_one_write() -> None:
    fleet = Fleet("n1")
    for content in "AB":
        fleet.apply("tool", content, kind=KERNEL_PROGRAM, strategy=AT_ONCE)
        fleet.apply("tool", content, strategy=AT_ONCE)
        writes = 0
        while actions := fleet.plan().actions:
            writes += sum(isinstance(action, WriteNodeState) for action in actions)
            fleet.perform(actions)
        assert writes == 1
        fleet.answer()
        fleet.settle()
    assert [item.kind for item in fleet.states["n1"].spec] == ["KernelProgram", "UserProgram"]


def test_nodes_are_told_only_of_revisions_that_are_there_of_programs_that_are_held() -> None:
    fleet = Fleet("n1")
    key = fleet.apply("p", "A", strategy=AT_ONCE)
    while not fleet.assigned(key):
        assert not any(item for action in fleet.plan().actions for item in getattr(action, "assignments", ()))
        fleet.perform(fleet.plan().actions)
        if fleet.programs[key].is_held and fleet.revisions and fleet.status(key).phase is Phase.ROLLING:
            break
    assert fleet.programs[key].finalizers == (FINALIZER,)


def test_a_full_node_takes_no_more_and_the_program_says_so() -> None:
    fleet = Fleet("n1", "n2")
    for i in range(MOST_PROGRAMS):
        fleet.apply(f"p{i:02}", "A", strategy=AT_ONCE, selector=Selector(match_labels={"many": "yes"}))
    fleet.join("n1", many="yes")
    fleet.run()
    late = fleet.apply("zz", "A", strategy=AT_ONCE)
    fleet.run()
    assert fleet.assigned(late) == {"n2": "A"}
    assert reasons(fleet.status(late))["Degraded"] == (True, "NodesFull")
    assert reasons(fleet.status(late))["Ready"] == (False, "NotRunning")
    assert fleet.plan().crowded == {late}
    fleet.delete(up("p00"))
    fleet.run()
    assert fleet.assigned(late) == {"n1": "A", "n2": "A"}
    assert reasons(fleet.status(late))["Degraded"] == (False, "AsExpected")


def test_a_program_that_finds_no_pod_on_any_node_says_so() -> None:
    fleet = Fleet("n1", "n2")
    key = fleet.apply("p", "A", strategy=AT_ONCE)
    fleet.run()
    told = (("n1", "NothingSelected", "Running"), ("n2", "NothingSelected", "NothingSelected"), ("n1", "", "Running"))
    for node, reason, expected in told:
        fleet.report(node, State.RUNNING, reason)
        fleet.perform(fleet.plan().actions)
        assert reasons(fleet.status(key))["Ready"] == (True, expected)


def test_an_image_that_no_registry_knows_is_told_of_while_the_last_version_runs() -> None:
    fleet = Fleet("n1")
    key = fleet.apply("p", "A", strategy=AT_ONCE)
    fleet.run()
    fleet.unresolvable.add("B")
    fleet.apply("p", "B", strategy=AT_ONCE)
    fleet.run()
    assert reasons(fleet.status(key)) == {
        "Ready": (True, "Running"),
        "Progressing": (False, "ImageUnresolved"),
        "Degraded": (True, "ImageUnresolved"),
    }
    assert fleet.status(key).observed_generation == 2
    assert [event.reason for event in fleet.told].count("ImageUnresolved") == 1
    fleet.unresolvable.clear()
    fleet.run()
    assert fleet.assigned(key) == {"n1": "B"}


def test_a_spec_that_cannot_be_read_is_told_of_and_changes_nothing() -> None:
    fleet = Fleet("n1")
    key = fleet.apply("p", "A", strategy=AT_ONCE)
    fleet.run()
    broken = replace(
        fleet.programs[key], problem="spec.sauce: unknown field", spec_hash="x", generation=2, selector=ON_GPU
    )
    fleet.programs[key] = broken
    fleet.settle()
    assert fleet.assigned(key) == {"n1": "A"}
    assert reasons(fleet.status(key))["Degraded"] == (True, "InvalidSpec")


def test_the_same_revision_is_used_again_for_the_same_spec() -> None:
    fleet = Fleet("n1")
    for content in "ABA":
        fleet.apply("p", content, strategy=AT_ONCE)
        fleet.run()
    assert len(fleet.revisions) == 2
    assert not any(isinstance(action, CreateRevision) for action in fleet.plan().actions)


def test_a_condition_keeps_its_time_while_it_holds() -> None:
    fleet = Fleet("n1", "n2")
    key = fleet.apply("p", "A", strategy=AT_ONCE)
    fleet.run()
    ready = fleet.status(key).condition("Ready")
    fleet.now += 100
    fleet.join("n3")
    fleet.settle()
    fleet.answer()
    fleet.settle()
    later = fleet.status(key).condition("Ready")
    assert ready
    assert later
    assert later.since == fleet.now, "it was not ready in between"
    fleet.now += 100
    fleet.ready("n3", ready=False)
    fleet.settle()
    last = fleet.status(key).condition("Ready")
    assert last
    assert last.message != later.message
    assert last.since == later.since


def test_five_failures_are_told_of_and_all_are_counted() -> None:
    fleet = Fleet(*[f"n{i}" for i in range(9)])
    key = fleet.apply("p", "A", strategy=AT_ONCE)
    fleet.run()
    fleet.bad.add(("*", "A"))
    fleet.run()
    status = fleet.status(key)
    assert status.phase is Phase.IDLE
    assert (status.nodes.failed, len(status.failures)) == (9, 5)
    assert [failure.node for failure in status.failures] == ["n0", "n1", "n2", "n3", "n4"]


def test_one_program_is_decided_about_alone() -> None:
    fleet = Fleet("n1")
    one, two = fleet.apply("one", "A", strategy=AT_ONCE), fleet.apply("two", "A", strategy=AT_ONCE)
    fleet.run()
    fleet.apply("one", "B", strategy=AT_ONCE)
    fleet.apply("two", "B", strategy=AT_ONCE)
    for _ in range(10):
        fleet.perform(plan(fleet.world(), fleet.now, programs=[one], nodes=[]).actions)
    assert fleet.assigned(one) == {"n1": "B"}
    assert fleet.assigned(two) == {"n1": "A"}


def test_an_unknown_program_is_nothing_to_do() -> None:
    fleet = Fleet("n1")
    fleet.settle()
    assert plan(fleet.world(), fleet.now, programs=[FleetKey("UserProgram", "none")], nodes=["none"]).actions == ()
