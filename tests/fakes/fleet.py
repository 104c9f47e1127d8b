"""A cluster's rows in memory: what the leader's actions do to them, and agents that answer when they are asked to.

What it models: guarded writes, generations, statuses and specs apart, finalizers. It performs plans as they are; the
API server and what it refuses is `FakeApi`'s.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any, assert_never

from conductor.model.fleet import (
    FINALIZER,
    MOST_PROGRAMS,
    USER_PROGRAM,
    AgentReport,
    FleetKey,
    NodeRow,
    NodeStateRow,
    ProgramReport,
)
from conductor.model.fleet_rows import ProgramRow, RevisionRow, digest_of, revision_of
from conductor.model.fleet_status import FleetStatus
from conductor.model.fleet_strategy import ALL_NODES, Strategy
from conductor.model.labels import Selector
from conductor.model.status import State
from conductor.plan.fleet import FleetPlan, lacking, plan
from conductor.plan.fleet_actions import (
    AddFinalizer,
    CreateNodeState,
    CreateRevision,
    DeleteNodeState,
    DeleteRevision,
    Emit,
    FleetAction,
    RemoveFinalizer,
    WriteNodeState,
    WriteStatus,
)
from conductor.plan.fleet_world import FleetWorld, Unresolved, Wanted, Wish

__all__ = ["Fleet", "up"]


def up(name: str) -> FleetKey:
    """Name a UserProgram."""
    return FleetKey(USER_PROGRAM, name)


class Fleet:
    """The rows, and time."""

    def __init__(self, *nodes: str, now: float = 1_000_000.0) -> None:
        self.now = now
        self.programs: dict[FleetKey, ProgramRow] = {}
        self.nodes = {name: NodeRow(name=name) for name in nodes}
        self.states: dict[str, NodeStateRow] = {}
        self.revisions: dict[str, RevisionRow] = {}
        self.contents: dict[FleetKey, str] = {}
        self.told: list[Emit] = []
        self.unresolvable: set[str] = set()
        """Contents whose image no registry knows."""
        self.bad: set[tuple[str, str]] = set()
        """Node (or "*") and content that it refuses."""
        self._version = 0

    # --- what people do -----------------------------------------------------------------------------------------------

    def apply(
        self,
        name: str,
        content: str,
        *,
        kind: str = USER_PROGRAM,
        strategy: Strategy | None = None,
        selector: Selector = ALL_NODES,
    ) -> FleetKey:
        """Create or edit a program."""
        key = FleetKey(kind, name)
        spec_hash = digest_of(key, self._spec(content))
        before = self.programs.get(key)
        steering = Strategy() if strategy is None else strategy
        if before is None:
            self.programs[key] = ProgramRow(
                kind=kind,
                name=name,
                uid=f"uid-{self._next()}",
                resource_version=self._next(),
                generation=1,
                spec_hash=spec_hash,
                selector=selector,
                strategy=steering,
            )
        elif (spec_hash, steering, selector) != (before.spec_hash, before.strategy, before.selector):
            self._change(
                key, spec_hash=spec_hash, strategy=steering, selector=selector, generation=before.generation + 1
            )
        self.contents[key] = content
        return key

    def delete(self, key: FleetKey) -> None:
        """Ask for a program's end."""
        if not self.programs[key].finalizers:
            del self.programs[key]
        elif not self.programs[key].deleting:
            self._change(key, deleted_at=self.now)

    def ready(self, node: str, ready: bool) -> None:
        """Have a node come or be away."""
        self.nodes[node] = replace(self.nodes[node], ready=ready)

    def join(self, node: str, **labels: str) -> None:
        """Add a node."""
        self.nodes[node] = NodeRow(name=node, labels=labels)

    # --- what the leader does -----------------------------------------------------------------------------------------

    def world(self) -> FleetWorld:
        """Answer what the leader knows, its images resolved."""
        bare = FleetWorld(
            programs=dict(self.programs),
            nodes=dict(self.nodes),
            states=dict(self.states),
            revisions=dict(self.revisions),
        )
        wishes = {row.key: self._wish(row) for row in lacking(bare, self.programs)}
        return replace(bare, wishes=wishes)

    def plan(self) -> FleetPlan:
        """Decide about everything."""
        return plan(self.world(), self.now)

    def perform(self, actions: Collection[FleetAction]) -> None:
        """Do it."""
        for action in actions:
            self._do(action)

    def settle(self, most: int = 200) -> int:
        """Decide and do until nothing is left to be done now; answers in how many rounds."""
        for rounds in range(most):
            found = self.plan()
            if not found.actions:
                return rounds
            self.perform(found.actions)
        raise AssertionError(f"it goes on for ever: {found.actions}")

    def run(self, seconds: float = 0.0, *, step: float = 5.0) -> None:
        """Have everybody go on until nothing is left to be done, for at least so long."""
        until = self.now + seconds
        while True:
            self.settle()
            if self.answer() or self.plan().actions:
                continue
            if self.now >= until:
                return
            self.now += step

    # --- what agents do -----------------------------------------------------------------------------------------------

    def answer(self, *nodes: str) -> bool:
        """Have agents of ready nodes do what their NodeState says; answers whether anything changed."""
        before = dict(self.states)
        for node in nodes or tuple(self.states):
            if node in self.states and node in self.nodes and self.nodes[node].ready:
                self.report(node)
        return self.states != before

    def report(self, node: str, state: State | None = None, reason: str = "") -> None:
        """Have one agent say that all it was given is in a state, or what comes of it."""
        row = self.states[node]
        reports = []
        for item in row.spec:
            content = self.content(item.hash)
            bad = {(node, content), ("*", content)} & self.bad
            reached = state or (State.FAILED if bad else State.RUNNING)
            old = row.reported(item.key)
            kept = old is not None and (old.hash, old.state) == (item.hash, reached)
            reports.append(
                ProgramReport(
                    kind=item.kind,
                    name=item.name,
                    hash=item.hash,
                    state=reached,
                    reason="VerifierRejected" if bad and state is None else reason,
                    message="R1 is not a pointer" if bad and state is None else "",
                    since=old.since if old is not None and kept else self.now,
                )
            )
        said = replace(
            row,
            observed=tuple(reports),
            observed_generation=row.generation,
            agent=AgentReport(version="1", ready=True),
        )
        if said != row:
            self.states[node] = replace(said, resource_version=self._next())

    # --- what is there ------------------------------------------------------------------------------------------------

    def status(self, key: FleetKey) -> FleetStatus:
        """Answer a program's status."""
        return self.programs[key].status

    def content(self, digest: str) -> str:
        """Answer what a hash stands for; all contents of tests are single letters."""
        found = [
            letter
            for letter in "ABCDEFGH"
            for key in {*self.contents, *(row.key for row in self.revisions.values())}
            if digest_of(key, self._spec(letter)) == digest
        ]
        return found[0]

    def assigned(self, key: FleetKey) -> dict[str, str]:
        """Answer the content that each node is to run of a program."""
        found = {name: state.assigned(key) for name, state in sorted(self.states.items())}
        return {name: self.content(item.hash) for name, item in found.items() if item}

    # --- within -------------------------------------------------------------------------------------------------------

    def _wish(self, row: ProgramRow) -> Wish:
        content = self.contents[row.key]
        if content in self.unresolvable:
            return Unresolved(message=f"registry.example/{content}: not found")
        numbers = [found.number for found in self.revisions.values() if found.key == row.key]
        made, document = revision_of(row, self._spec(content), number=max(numbers, default=0) + 1, namespace="here")
        return Wanted(row=made, document=document)

    def _do(self, action: FleetAction) -> None:
        match action:
            case CreateNodeState() | WriteNodeState() | DeleteNodeState():
                self._do_to_node(action)
            case CreateRevision(row=made):
                assert made.name not in self.revisions
                self.revisions[made.name] = replace(made, resource_version=self._next())
            case DeleteRevision(name=name, resource_version=version):
                assert self.revisions.pop(name).resource_version == version
            case WriteStatus(key=key, resource_version=version, status=status):
                assert self.programs[key].resource_version == version
                # As it reads back from the API server: whole seconds.
                self._change(key, status=FleetStatus.parse(status.printed()))
            case AddFinalizer(key=key, finalizers=finalizers):
                assert not self.programs[key].deleting, "the API server refuses it"
                self._change(key, finalizers=finalizers)
            case RemoveFinalizer(key=key, finalizers=finalizers):
                assert FINALIZER not in finalizers
                self._change(key, finalizers=finalizers)
                if not finalizers:
                    del self.programs[key]
            case Emit():
                self.told.append(action)
            case _:
                assert_never(action)

    def _do_to_node(self, action: CreateNodeState | WriteNodeState | DeleteNodeState) -> None:
        match action:
            case CreateNodeState(node=node, assignments=given):
                assert node not in self.states
                self.states[node] = NodeStateRow(name=node, spec=given, generation=1, resource_version=self._next())
            case WriteNodeState(node=node, assignments=given, resource_version=version):
                row = self.states[node]
                assert row.resource_version == version
                assert row.spec != given, "a write that changes nothing"
                assert len({item.key for item in given}) == len(given) <= MOST_PROGRAMS
                assert all(item.revision in self.revisions for item in set(given) - set(row.spec))
                self.states[node] = replace(
                    row, spec=given, generation=row.generation + 1, resource_version=self._next()
                )
            case DeleteNodeState(node=node):
                del self.states[node]
            case _:
                assert_never(action)

    def _change(self, key: FleetKey, **changes: Any) -> None:
        self.programs[key] = replace(self.programs[key], resource_version=self._next(), **changes)

    def _next(self) -> str:
        self._version += 1
        return str(self._version)

    @staticmethod
    def _spec(content: str) -> dict[str, Any]:
        return {"source": {"builtin": content}}
