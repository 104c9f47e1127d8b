"""How a change comes to the nodes: who tries it, when it goes on, and what takes it back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conductor.model.fleet_status import Phase
from conductor.model.fleet_strategy import Share, Strategy
from tests.fakes.fleet import Fleet
from tests.plan.fleets import QUICK, SOAK, a_fleet, claim


def test_a_first_version_comes_to_all_nodes_by_a_canary() -> None:
    fleet = Fleet("n1", "n2", "n3")
    key = fleet.apply("p", "A", strategy=SOAK)
    fleet.settle()
    assert fleet.assigned(key) == {"n1": "A"}
    fleet.answer()
    fleet.settle()
    assert fleet.status(key).phase is Phase.SOAKING
    assert fleet.plan().later == {key: fleet.now + 30}
    fleet.now += 30
    fleet.run()
    assert fleet.assigned(key) == dict.fromkeys(["n1", "n2", "n3"], "A")
    status = fleet.status(key)
    assert (status.phase, status.revision) == (Phase.IDLE, status.update_revision)
    assert claim(status, "Ready") == (True, "Running")
    assert claim(status, "Progressing") == (False, "Complete")
    assert status.nodes.updated == status.nodes.ready == status.nodes.desired == 3


def test_a_soak_is_as_long_as_asked_for() -> None:
    fleet, key = a_fleet("n1", "n2", strategy=SOAK)
    fleet.apply("p", "B", strategy=SOAK)
    fleet.settle()
    fleet.answer()
    fleet.settle()
    fleet.now += 29.9
    fleet.settle()
    assert fleet.assigned(key) == {"n1": "B", "n2": "A"}


def test_no_more_change_at_a_time_than_allowed() -> None:
    fleet, key = a_fleet(*[f"n{i}" for i in range(8)])
    fleet.apply("p", "B", strategy=Strategy(soak=0.0, max_unavailable=Share(25, is_percent=True)))
    fleet.settle()
    fleet.answer("n0")
    fleet.settle()
    assert fleet.status(key).phase is Phase.ROLLING
    assert sorted(node for node, content in fleet.assigned(key).items() if content == "B") == ["n0", "n1", "n2"]
    fleet.answer("n2")
    fleet.settle()
    assert sorted(node for node, content in fleet.assigned(key).items() if content == "B") == ["n0", "n1", "n2", "n3"]


def test_a_paused_one_waits_and_goes_on() -> None:
    fleet, key = a_fleet("n1", "n2")
    fleet.apply("p", "B", strategy=replace(QUICK, pause=True))
    fleet.run(600)
    assert set(fleet.assigned(key).values()) == {"A"}
    assert fleet.status(key).phase is Phase.PAUSED
    assert claim(fleet.status(key), "Progressing") == (False, "Paused")
    fleet.apply("p", "B", strategy=QUICK)
    fleet.run(600)
    assert set(fleet.assigned(key).values()) == {"B"}


def test_a_pause_holds_what_was_under_way() -> None:
    fleet, key = a_fleet("n1", "n2", "n3")
    fleet.apply("p", "B", strategy=SOAK)
    fleet.settle()
    fleet.apply("p", "B", strategy=replace(SOAK, pause=True))
    fleet.run(600)
    assert fleet.assigned(key) == {"n1": "B", "n2": "A", "n3": "A"}
    assert fleet.status(key).phase is Phase.PAUSED


def test_no_canary_means_none() -> None:
    fleet, key = a_fleet("n1", "n2")
    fleet.apply("p", "B", strategy=Strategy(canary=Share(0), soak=3600))
    fleet.run()
    assert set(fleet.assigned(key).values()) == {"B"}


def test_a_node_that_is_away_is_no_canary_and_no_failure_and_comes_last() -> None:
    fleet, key = a_fleet("n1", "n2", "n3")
    fleet.ready("n1", ready=False)
    fleet.apply("p", "B", strategy=QUICK)
    fleet.settle()
    assert fleet.assigned(key) == {"n1": "A", "n2": "B", "n3": "A"}
    fleet.run(60)
    assert set(fleet.assigned(key).values()) == {"B"}
    status = fleet.status(key)
    assert status.phase is Phase.IDLE
    assert (status.nodes.desired, status.nodes.ready, status.nodes.unreachable, status.nodes.failed) == (3, 2, 1, 0)
    assert claim(status, "Ready") == (True, "Running")


def test_a_node_that_joins_on_the_way_gets_what_runs_elsewhere() -> None:
    fleet, key = a_fleet("n1", "n2", strategy=SOAK)
    fleet.apply("p", "B", strategy=SOAK)
    fleet.settle()
    fleet.answer()
    fleet.settle()
    fleet.join("n0")
    fleet.settle()
    assert fleet.assigned(key)["n0"] == "A"
    fleet.run(60)
    assert set(fleet.assigned(key).values()) == {"B"}


def test_a_leader_whose_clock_is_behind_starts_the_soak_anew() -> None:
    fleet, key = a_fleet("n1", "n2", strategy=SOAK)
    fleet.apply("p", "B", strategy=SOAK)
    fleet.settle()
    fleet.answer()
    fleet.settle()
    fleet.now -= 86_400
    fleet.run(60)
    assert fleet.status(key).phase is Phase.IDLE


@pytest.mark.parametrize("moment", range(12))
def test_a_leader_may_end_after_any_action(moment: int) -> None:
    fleet, key = a_fleet("n1", "n2", "n3")
    fleet.bad.add(("n2", "B"))
    fleet.apply("p", "B", strategy=QUICK)
    for _ in range(moment):
        fleet.perform(fleet.plan().actions[:1])  # all others were lost with the leader
        fleet.answer()
    fleet.run(60)
    assert set(fleet.assigned(key).values()) == {"A"}
    assert fleet.status(key).phase is Phase.ROLLED_BACK
