"""Whatever people, nodes and agents do in whatever order: it converges to the last spec, and statuses tell the truth."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from typing_extensions import override

from conductor.model.fleet import KERNEL_PROGRAM, USER_PROGRAM, FleetKey, revision_name
from conductor.model.fleet_rows import ProgramRow, digest_of
from conductor.model.fleet_strategy import ALL_NODES, Share, Strategy
from conductor.model.labels import Selector
from conductor.model.status import State
from tests.fakes.fleet import Fleet
from tests.fakes.fleet_truth import judge

NODES = st.sampled_from(["n1", "n2", "n3", "n4", "n5"])
KEYS = st.sampled_from(
    [FleetKey(KERNEL_PROGRAM, "tool"), FleetKey(USER_PROGRAM, "tool"), FleetKey(USER_PROGRAM, "other")]
)
CONTENTS = st.sampled_from("ABC")
STRATEGIES = st.builds(
    Strategy,
    max_unavailable=st.sampled_from([Share(0), Share(1), Share(2), Share(50, is_percent=True)]),
    canary=st.sampled_from([Share(0), Share(1), Share(50, is_percent=True)]),
    soak=st.sampled_from([0.0, 20.0]),
    pause=st.sampled_from([False, False, True]),
    rollback_on_failure=st.sampled_from([True, True, False]),
)
SELECTORS = st.sampled_from([ALL_NODES, Selector(match_labels={"zone": "a"})])
ZONES = st.sampled_from("ab")


class Cluster(RuleBasedStateMachine):
    """People, nodes and agents, and a leader that may end after any action."""

    @initialize(nodes=st.sets(NODES), bad=st.sets(st.tuples(NODES | st.just("*"), CONTENTS), max_size=2))
    def begin(self, nodes: set[str], bad: set[tuple[str, str]]) -> None:
        self.fleet = Fleet(*sorted(nodes))
        self.fleet.bad = bad

    @rule(key=KEYS, content=CONTENTS, strategy=STRATEGIES, selector=SELECTORS)
    def edit(self, key: FleetKey, content: str, strategy: Strategy, selector: Selector) -> None:
        row = self.fleet.programs.get(key)
        if row is None or not row.deleting:
            self.fleet.apply(key.name, content, kind=key.kind, strategy=strategy, selector=selector)

    @rule(key=KEYS, forced=st.sampled_from([False, False, True]))
    def delete(self, key: FleetKey, forced: bool) -> None:
        if key in self.fleet.programs:
            self.fleet.delete(key)
            if forced:
                self.fleet.programs.pop(key, None)

    @rule(node=NODES, zone=ZONES)
    def join(self, node: str, zone: str) -> None:
        self.fleet.join(node, zone=zone)

    @rule(node=NODES)
    def leave(self, node: str) -> None:
        self.fleet.nodes.pop(node, None)

    @rule(node=NODES, ready=st.booleans())
    def come_and_go(self, node: str, ready: bool) -> None:
        if node in self.fleet.nodes:
            self.fleet.ready(node, ready=ready)

    @rule(node=NODES, state=st.sampled_from([None, None, State.UPDATING, State.WAITING]))
    def answer(self, node: str, state: State | None) -> None:
        if node in self.fleet.states and node in self.fleet.nodes and self.fleet.nodes[node].ready:
            self.fleet.report(node, state)

    @rule(seconds=st.sampled_from([1.0, 15.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.fleet.now += seconds

    @rule(part=st.integers(1, 30))
    def lead(self, part: int) -> None:
        before = {key: self._changing(row) for key, row in self.fleet.programs.items()}
        self.fleet.perform(self.fleet.plan().actions[:part])
        for key, row in self.fleet.programs.items():
            ready = sum(self.fleet.nodes[name].ready for name in self._selected(row))
            budget = max(1, row.strategy.max_unavailable.of(ready, up=False))
            changing = self._changing(row)
            assert len(changing) <= max(budget, len(before.get(key, ()))), f"{key}: {changing}"

    @invariant()
    def what_nodes_are_to_run_is_there(self) -> None:
        if hasattr(self, "fleet"):
            fleet = self.fleet
            named = {item.revision for state in fleet.states.values() for item in state.spec}
            # The revision of a program that was made anew is made anew, too, under its name.
            anew = {revision_name(row.key, row.spec_hash) for row in fleet.programs.values()}
            assert named - anew <= set(fleet.revisions)

    @override
    def teardown(self) -> None:
        if hasattr(self, "fleet"):
            self.fleet.run(300)
            assert self.fleet.settle() == 0
            for row in self.fleet.programs.values():
                judge(row, self.fleet.contents[row.key], self.fleet.assigned(row.key), self.fleet.nodes, self.fleet.bad)
            there = {key for key, row in self.fleet.programs.items()}
            assert {item.key for state in self.fleet.states.values() for item in state.spec} <= there
            assert {row.key for row in self.fleet.revisions.values()} <= there
            assert set(self.fleet.states) == set(self.fleet.nodes)

    def _selected(self, row: ProgramRow) -> list[str]:
        return [name for name, node in sorted(self.fleet.nodes.items()) if row.selector.matches(node.labels)]

    def _changing(self, row: ProgramRow) -> set[str]:
        """Ready nodes that ran something else before and do not run yet what the spec says now."""
        digest = digest_of(row.key, self.fleet._spec(self.fleet.contents[row.key]))
        found = set()
        for name in self._selected(row):
            state = self.fleet.states.get(name)
            assigned = state.assigned(row.key) if state else None
            if state is None or assigned is None or assigned.hash != digest or not self.fleet.nodes[name].ready:
                continue
            report = state.reported(row.key)
            if report is not None and report.hash != digest and report.state is State.RUNNING:
                found.add(name)
        return found


TestCluster = Cluster.TestCase
TestCluster.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
