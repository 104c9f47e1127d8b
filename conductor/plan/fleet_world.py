"""What the leader knows when it decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from conductor.model.cluster import Document
from conductor.model.fleet import MOST_PROGRAMS, Assignment, FleetKey, NodeRow, NodeStateRow
from conductor.model.fleet_rows import ProgramRow, RevisionRow
from conductor.plan.fleet_census import Census

__all__ = ["Entries", "FleetWorld", "Unresolved", "Wanted", "Wish"]


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
    census: Census | None = None
    """Of programs, nodes and states; made where it is missing."""

    def counted(self) -> Census:
        """Answer how nodes stand with programs."""
        return self.census or Census.of(self.programs, self.nodes, self.states)

    def copied(self) -> FleetWorld:
        """Answer the same, which does not change with what is known."""
        return FleetWorld(
            programs=dict(self.programs),
            nodes=dict(self.nodes),
            states=dict(self.states),
            revisions=dict(self.revisions),
            wishes=dict(self.wishes),
            census=self.census.copied() if self.census else None,
        )


class Entries:
    """What each node is to run, while it is decided; as it was, where nothing changes."""

    def __init__(self, states: Mapping[str, NodeStateRow]) -> None:
        self._states = states
        self.changed: dict[str, dict[FleetKey, Assignment]] = {}

    def put(self, node: str, key: FleetKey, assignment: Assignment | None) -> bool:
        """Change one; None takes it out. Answers whether it fits in: what does not is left out."""
        entries = self.of(node)
        if assignment is None:
            entries.pop(key, None)
        elif key in entries or len(entries) < MOST_PROGRAMS:
            entries[key] = assignment
        else:
            return False
        return True

    def of(self, node: str) -> dict[FleetKey, Assignment]:
        """Answer all of a node's, to be changed."""
        if (entries := self.changed.get(node)) is None:
            state = self._states.get(node)
            entries = self.changed[node] = {item.key: item for item in state.spec} if state else {}
        return entries
