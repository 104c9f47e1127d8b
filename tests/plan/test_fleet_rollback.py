"""What takes a change back, and how it goes on from there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conductor.model.fleet_status import Phase
from conductor.model.fleet_strategy import Share, Strategy
from conductor.model.status import State
from tests.fakes.fleet import Fleet
from tests.plan.fleets import QUICK, SOAK, a_fleet, claim


def test_what_the_verifier_refuses_at_the_canary_is_taken_back() -> None:
    fleet, key = a_fleet("n1", "n2", "n3")
    fleet.bad.add(("n1", "B"))
    fleet.apply("p", "B", strategy=SOAK)
    fleet.run(600)
    assert set(fleet.assigned(key).values()) == {"A"}
    status = fleet.status(key)
    assert status.phase is Phase.ROLLED_BACK
    assert claim(status, "Degraded") == (True, "RolledBack")
    assert claim(status, "Ready") == (True, "Running"), "what ran before runs"
    (failure,) = status.failures
    assert (failure.node, failure.reason, failure.message) == ("n1", "VerifierRejected", "R1 is not a pointer")
    (told,) = [event for event in fleet.told if event.reason == "RolledBack"]
    assert told.warning
    assert "VerifierRejected" in told.note


def test_what_fails_later_on_the_way_is_taken_back_everywhere() -> None:
    fleet, key = a_fleet("n1", "n2", "n3", "n4")
    fleet.bad.add(("n3", "B"))
    fleet.apply("p", "B", strategy=QUICK)
    fleet.run(60)
    assert set(fleet.assigned(key).values()) == {"A"}
    assert fleet.status(key).phase is Phase.ROLLED_BACK


def test_a_quarantine_in_the_soak_takes_it_back() -> None:
    fleet, key = a_fleet("n1", "n2")
    fleet.apply("p", "B", strategy=SOAK)
    fleet.settle()
    fleet.answer()
    fleet.settle()
    assert fleet.status(key).phase is Phase.SOAKING
    fleet.now += 10
    fleet.report("n1", State.QUARANTINED)
    fleet.settle()
    assert fleet.assigned(key) == {"n1": "A", "n2": "A"}
    assert fleet.status(key).failures[0].reason == "Quarantined"


def test_a_canary_that_goes_away_while_it_tries_takes_it_back() -> None:
    fleet, key = a_fleet("n1", "n2")
    fleet.apply("p", "B", strategy=SOAK)
    fleet.settle()
    fleet.now += 2
    fleet.report("n1", State.UPDATING)
    fleet.ready("n1", ready=False)
    fleet.settle()
    assert fleet.status(key).phase is Phase.ROLLED_BACK
    assert fleet.status(key).failures[0].reason == "NodeLost"
    assert fleet.assigned(key) == {"n1": "A", "n2": "A"}


def test_a_first_version_that_fails_is_taken_away() -> None:
    fleet = Fleet("n1", "n2")
    fleet.bad.add(("*", "A"))
    key = fleet.apply("p", "A", strategy=QUICK)
    fleet.run(60)
    assert fleet.assigned(key) == {}
    assert fleet.status(key).phase is Phase.ROLLED_BACK
    assert claim(fleet.status(key), "Ready") == (False, "NotRunning")


def test_without_rollback_it_stops_where_it_failed_and_says_so() -> None:
    fleet, key = a_fleet("n1", "n2", "n3")
    fleet.bad.add(("*", "B"))
    fleet.apply("p", "B", strategy=Strategy(soak=0.0, rollback_on_failure=False))
    fleet.run(600)
    assert fleet.assigned(key) == {"n1": "B", "n2": "A", "n3": "A"}
    assert fleet.status(key).phase is Phase.CANARY
    assert claim(fleet.status(key), "Degraded") == (True, "VerifierRejected")


def test_an_edit_after_a_rollback_goes_on() -> None:
    fleet, key = a_fleet("n1", "n2")
    fleet.bad.add(("*", "B"))
    fleet.apply("p", "B", strategy=QUICK)
    fleet.run(60)
    fleet.apply("p", "C", strategy=QUICK)
    fleet.run(60)
    assert set(fleet.assigned(key).values()) == {"C"}
    assert fleet.status(key).phase is Phase.IDLE
    assert claim(fleet.status(key), "Degraded") == (False, "AsExpected")


def test_any_edit_tries_the_same_again_after_a_rollback() -> None:
    fleet, key = a_fleet("n1", "n2")
    fleet.bad.add(("*", "B"))
    fleet.apply("p", "B", strategy=QUICK)
    fleet.run(60)
    fleet.bad.clear()
    fleet.apply("p", "B", strategy=replace(QUICK, max_unavailable=Share(2)))
    fleet.run(60)
    assert set(fleet.assigned(key).values()) == {"B"}


def test_an_edit_back_needs_no_trial() -> None:
    fleet, key = a_fleet("n1", "n2", strategy=SOAK)
    fleet.apply("p", "B", strategy=SOAK)
    fleet.settle()
    fleet.apply("p", "A", strategy=SOAK)
    fleet.run()
    assert fleet.status(key).phase is Phase.IDLE
    assert set(fleet.assigned(key).values()) == {"A"}


def test_what_a_node_said_of_an_earlier_try_speaks_against_nothing() -> None:
    fleet, key = a_fleet("n1", "n2")
    fleet.bad.add(("n1", "B"))
    fleet.apply("p", "B", strategy=SOAK)
    fleet.settle()
    fleet.answer()
    fleet.settle()
    assert fleet.status(key).phase is Phase.ROLLED_BACK
    fleet.bad.clear()
    fleet.apply("p", "B", strategy=replace(SOAK, max_unavailable=Share(2)))
    fleet.settle()
    report = fleet.states["n1"].reported(key)
    assert report
    assert report.state is State.FAILED, "its agent has not answered since"
    assert fleet.status(key).phase is Phase.CANARY
    fleet.run(60)
    assert set(fleet.assigned(key).values()) == {"B"}


@pytest.mark.parametrize("reason", ["RegistryAway", "StoreFull"])
def test_what_ails_a_node_and_not_the_version_is_waited_for(reason: str) -> None:
    fleet, key = a_fleet("n1", "n2")
    fleet.apply("p", "B", strategy=QUICK)
    fleet.settle()
    fleet.report("n1", State.FAILED, reason)
    fleet.settle()
    status = fleet.status(key)
    assert status.phase is Phase.CANARY
    assert (status.nodes.failed, status.failures[0].reason) == (1, reason)
    fleet.run(60)
    assert set(fleet.assigned(key).values()) == {"B"}
