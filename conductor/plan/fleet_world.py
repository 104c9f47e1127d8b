"""What the leader knows when it decides, and how one program sees the nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from conductor.errors import (
    ClusterAway,
    ImagePending,
    KernelAway,
    RegistryAway,
    SignaturesUnjudged,
    StateUnwritable,
    StoreFull,
)
from conductor.model.cluster import Document
from conductor.model.fleet import MOST_PROGRAMS, Assignment, FleetKey, NodeRow, NodeStateRow, ProgramReport
from conductor.model.fleet_rows import ProgramRow, RevisionRow
from conductor.model.status import State

__all__ = ["Entries", "FleetWorld", "Place", "Unresolved", "Wanted", "Wish", "places"]

MOVING = {State.UNINITIALIZED, State.INITIALIZED, State.PULLING, State.UPDATING}
BROKEN = {State.FAILED, State.QUARANTINED}
SURROUNDINGS = {
    error.reason
    for error in (ClusterAway, ImagePending, KernelAway, RegistryAway, SignaturesUnjudged, StateUnwritable, StoreFull)
}
"""Reasons that speak of a node's surroundings and not of a version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The revision of a spec that has none yet, its images resolved."""

    row: RevisionRow
    document: Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Unresolved:
    """Why a spec has no revision: a registry does not say what its image's tag stands for."""

    message: str


Wish: TypeAlias = Wanted | Unresolved


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetWorld:
    """Rows of all that matters, as they are known to be there now."""

    programs: Mapping[FleetKey, ProgramRow] = field(default_factory=dict)
    nodes: Mapping[str, NodeRow] = field(default_factory=dict)
    states: Mapping[str, NodeStateRow] = field(default_factory=dict)
    revisions: Mapping[str, RevisionRow] = field(default_factory=dict)
    """Ours alone, by name."""
    wishes: Mapping[FleetKey, Wish] = field(default_factory=dict)
    """Of programs whose spec was seen to have no revision."""

    def copied(self) -> FleetWorld:
        """Answer the same, which does not change with what is known."""
        return FleetWorld(
            programs=dict(self.programs),
            nodes=dict(self.nodes),
            states=dict(self.states),
            revisions=dict(self.revisions),
            wishes=dict(self.wishes),
        )


class Entries:
    """What each node is to run, while it is decided; as it was, where nothing changes."""

    def __init__(self, states: Mapping[str, NodeStateRow]) -> None:
        self._states = states
        self.changed: dict[str, dict[FleetKey, Assignment]] = {}

    def get(self, node: str, key: FleetKey) -> Assignment | None:
        """Answer a program's entry."""
        if (entries := self.changed.get(node)) is not None:
            return entries.get(key)
        return state.assigned(key) if (state := self._states.get(node)) else None

    def count(self, node: str) -> int:
        """Answer how many programs a node has."""
        if (entries := self.changed.get(node)) is not None:
            return len(entries)
        return len(state.spec) if (state := self._states.get(node)) else 0

    def put(self, node: str, key: FleetKey, assignment: Assignment | None) -> None:
        """Change one; None takes it out. What does not fit in is left out."""
        entries = self.of(node)
        if assignment is None:
            entries.pop(key, None)
        elif key in entries or len(entries) < MOST_PROGRAMS:
            entries[key] = assignment

    def of(self, node: str) -> dict[FleetKey, Assignment]:
        """Answer all of a node's, to be changed."""
        if (entries := self.changed.get(node)) is None:
            state = self._states.get(node)
            entries = self.changed[node] = {item.key: item for item in state.spec} if state else {}
        return entries


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A node that a program's selector takes."""

    node: str
    is_ready: bool
    has_room: bool
    """It is there, or fits in."""
    assigned: Assignment | None
    report: ProgramReport | None
    is_fresh: bool
    """The report answers what is assigned now, not something before."""
    answer: State | None
    """Where it stands with what it is to run; None: it has not said."""

    def has(self, digest: str) -> bool:
        """Whether it is to run the revision of this hash."""
        return self.assigned is not None and self.assigned.hash == digest

    @property
    def runs(self) -> bool:
        """Whether it runs what it is to run."""
        return self.answer is State.RUNNING

    @property
    def is_broken(self) -> bool:
        """Whether its agent says so of what it is to run."""
        return self.answer in BROKEN

    @property
    def has_refused(self) -> bool:
        """Whether that speaks against the version: said of it, and of nothing that passes."""
        return self.is_broken and self.is_fresh and self.report is not None and self.report.reason not in SURROUNDINGS

    @property
    def is_moving(self) -> bool:
        """Whether its agent is on the way to what it is to run."""
        return self.answer in MOVING


def places(program: ProgramRow, world: FleetWorld, nodes: list[str], entries: Entries) -> list[Place]:
    """Answer how a program sees the nodes that it is meant for, in their order."""
    key = program.key
    found: list[Place] = []
    for name in nodes:
        node = world.nodes[name]
        if not program.selector.matches(node.labels):
            continue
        state, assigned = world.states.get(name), entries.get(name, key)
        report = state.reported(key) if state else None
        is_about_it = assigned is not None and report is not None and report.hash == assigned.hash
        found.append(
            Place(
                node=name,
                is_ready=node.ready,
                has_room=assigned is not None or entries.count(name) < MOST_PROGRAMS,
                assigned=assigned,
                report=report,
                is_fresh=state is not None and state.observed_generation >= state.generation,
                answer=report.state if report is not None and is_about_it else None,
            )
        )
    return found
