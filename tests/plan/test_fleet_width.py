"""Wide fleets are changed some nodes at a time, and what is left is named, so that nothing is forgotten."""

from __future__ import annotations

from conductor.model.fleet import FleetKey, NodeStateRow
from conductor.model.fleet_status import Phase
from conductor.model.fleet_strategy import Share, Strategy
from conductor.plan.fleet import FleetPlan, plan
from conductor.plan.fleet_actions import CreateNodeState, DeleteNodeState, WriteNodeState
from tests.fakes.fleet import Fleet, up

NODES = [f"n{number}" for number in range(7)]
AT_ONCE = Strategy(canary=Share(0), soak=0.0, max_unavailable=Share(100, is_percent=True))
MOST = 2


def some(fleet: Fleet, *keys: FleetKey) -> FleetPlan:
    return plan(fleet.world(), fleet.now, programs=keys, nodes=(), most=MOST)


def written(found: FleetPlan) -> list[str]:
    nodes = (CreateNodeState, WriteNodeState, DeleteNodeState)
    return [action.node for action in found.actions if isinstance(action, nodes)]


def rolling(*names: str) -> tuple[Fleet, list[FleetKey]]:
    """Programs whose new version goes to all nodes now."""
    fleet = Fleet(*NODES)
    keys = [fleet.apply(name, "A", strategy=AT_ONCE) for name in names]
    fleet.run()
    for name in names:
        fleet.apply(name, "B", strategy=AT_ONCE)
    while any(fleet.status(key).phase is not Phase.ROLLING for key in keys):
        fleet.perform([action for action in fleet.plan().actions if not isinstance(action, WriteNodeState)])
    return fleet, keys


def test_all_programs_change_the_same_nodes_and_are_to_be_looked_at_again() -> None:
    fleet, keys = rolling("p", "q")
    found = some(fleet, *keys)
    assert written(found) == ["n0", "n1"]
    assert found.more == set(keys)


def test_going_on_with_what_is_left_changes_every_node_once() -> None:
    fleet, keys = rolling("p", "q")
    seen: list[str] = []
    again = set(keys)
    while again:
        found = some(fleet, *again)
        seen += written(found)
        fleet.perform(found.actions)
        again = set(found.more)
    assert seen == NODES


def test_programs_that_change_different_nodes_share_a_turn() -> None:
    fleet, (p, q) = rolling("p", "q")
    fleet.perform(some(fleet, p).actions)
    found = some(fleet, p, q)
    assert written(found) == ["n0", "n1"], "q is to come to where p is already, and p goes on later"
    assert found.more == {p, q}
    assert found.more_nodes == {"n2", "n3"}


def test_nodes_without_an_object_get_theirs_in_turn() -> None:
    fleet = Fleet(*NODES)
    found = plan(fleet.world(), fleet.now, most=MOST)
    assert written(found) == ["n0", "n1"]
    assert found.more_nodes == set(NODES[2:])


def test_a_program_that_goes_leaves_nodes_in_turn() -> None:
    fleet, (p,) = rolling("p")
    fleet.run()
    fleet.delete(p)
    found = some(fleet, p)
    assert written(found) == ["n0", "n1"]
    assert found.more == {p}


def test_a_node_that_has_its_object_needs_no_turn() -> None:
    fleet = Fleet("n0", "n1", "n2")
    fleet.states = {name: NodeStateRow(name=name) for name in ("n0", "n1")}
    assert written(plan(fleet.world(), fleet.now, nodes=fleet.nodes, programs=[up("none")], most=1)) == ["n2"]
