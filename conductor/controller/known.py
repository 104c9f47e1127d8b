"""What is known of the cluster: rows alone, and whom a change of one concerns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar, assert_never

from conductor.model.cluster import Resource, version_of
from conductor.model.fleet import (
    CONTROLLER_REVISIONS,
    KERNEL_PROGRAM,
    KERNEL_PROGRAMS,
    NODE_STATES,
    NODES,
    USER_PROGRAM,
    USER_PROGRAMS,
    FleetKey,
    NodeRow,
    NodeStateRow,
)
from conductor.model.fleet_rows import ProgramRow, RevisionRow
from conductor.plan.fleet_census import Census, Sight
from conductor.plan.fleet_world import FleetWorld, Wish

__all__ = ["NODE", "WATCHED", "AnyRow", "Known", "name_of"]

NODE = "Node"
"""Kind of a key that names a node."""
AnyRow = ProgramRow | NodeRow | NodeStateRow | RevisionRow
Row = TypeVar("Row", ProgramRow, NodeStateRow, RevisionRow)
WATCHED: tuple[Resource, ...] = (KERNEL_PROGRAMS, USER_PROGRAMS, NODES, NODE_STATES, CONTROLLER_REVISIONS)


def name_of(row: AnyRow) -> tuple[Resource, str]:
    """Answer which object a row is of."""
    match row:
        case ProgramRow():
            return (KERNEL_PROGRAMS if row.kind == KERNEL_PROGRAM else USER_PROGRAMS), row.name
        case NodeRow():
            return NODES, row.name
        case NodeStateRow():
            return NODE_STATES, row.name
        case RevisionRow():
            return CONTROLLER_REVISIONS, row.name
        case _:
            assert_never(row)


class Known:
    """Rows by what was told last, and by answers to our own writes, which come before the watch tells of them."""

    def __init__(self, *, wall: Callable[[], float]) -> None:
        self._wall = wall
        self.programs: dict[FleetKey, ProgramRow] = {}
        self.nodes: dict[str, NodeRow] = {}
        self.states: dict[str, NodeStateRow] = {}
        self.revisions: dict[str, RevisionRow] = {}
        self.wishes: dict[FleetKey, Wish] = {}
        self.crowded: set[FleetKey] = set()
        """Programs that wait for room on a node."""
        self.census = Census()

    def world(self) -> FleetWorld:
        """Answer it all for one decision: not a copy."""
        return FleetWorld(
            programs=self.programs,
            nodes=self.nodes,
            states=self.states,
            revisions=self.revisions,
            wishes=self.wishes,
            census=self.census,
        )

    def learn(self, row: AnyRow) -> set[FleetKey]:
        """Take a row in unless a newer one is there; answers whom it concerns."""
        match row:
            case NodeRow():
                return self._see_node(row.name, row)
            case ProgramRow():
                return self._learn_program(row)
            case NodeStateRow():
                return self._see_state(row.name, row)
            case RevisionRow():
                return {row.key} if _taken(self.revisions, row.name, row) else set()
            case _:
                assert_never(row)

    def lose(self, resource: Resource, name: str) -> set[FleetKey]:
        """Take a row out; answers whom it concerns."""
        if resource == NODES:
            return self._see_node(name, None) if name in self.nodes else set()
        if resource == NODE_STATES:
            return self._see_state(name, None) if name in self.states else set()
        if resource == CONTROLLER_REVISIONS:
            revision = self.revisions.pop(name, None)
            return {revision.key} if revision else set()
        key = FleetKey(KERNEL_PROGRAM if resource == KERNEL_PROGRAMS else USER_PROGRAM, name)
        self.wishes.pop(key, None)
        self.crowded.discard(key)
        if self.programs.pop(key, None) is None:
            return set()
        self.census.choose(key, None, self.nodes, self.states)
        return {key}

    def _learn_program(self, row: ProgramRow) -> set[FleetKey]:
        before = self.programs.get(row.key)
        if row.deleted_at is not None:
            # By our own clock where the server's is ahead: two minutes are two minutes.
            seen = before.deleted_at if before is not None and before.deleted_at is not None else self._wall()
            row = replace(row, deleted_at=min(row.deleted_at, seen))
        if before is not None and (before.spec_hash, before.uid) != (row.spec_hash, row.uid):
            self.wishes.pop(row.key, None)
        if not _taken(self.programs, row.key, row):
            return set()
        self.census.choose(row.key, row.selector, self.nodes, self.states)
        return {row.key}

    def _see_node(self, name: str, after: NodeRow | None) -> set[FleetKey]:
        before, state = self.nodes.get(name), self.states.get(name)
        _keep(self.nodes, name, after)
        self.census.see(name, Sight(before, state), Sight(after, state))
        there = [row for row in (before, after) if row is not None]
        meant = {key for key, row in self.programs.items() if any(row.selector.matches(node.labels) for node in there)}
        return {FleetKey(NODE, name)} | meant | ({item.key for item in state.spec} if state else set())

    def _see_state(self, name: str, after: NodeStateRow | None) -> set[FleetKey]:
        before, node = self.states.get(name), self.nodes.get(name)
        if after is None:
            del self.states[name]
        elif not _taken(self.states, name, after):
            return set()
        touched = self.census.see(name, Sight(node, before), Sight(node, after)) | self.crowded
        touched |= {key for key, row in self.programs.items() if row.deleting}
        return touched if before and after else touched | {FleetKey(NODE, name)}


def _keep(rows: dict[str, NodeRow], name: str, row: NodeRow | None) -> None:
    if row is None:
        del rows[name]
    else:
        rows[name] = row


def _taken(rows: dict[str, Row] | dict[FleetKey, Row], name: str | FleetKey, row: Row) -> bool:
    """Put a row in place unless it is older than the one there, or the same; what we wrote is known before it is told."""
    kept: dict[str | FleetKey, Row] = rows  # type: ignore[assignment]
    before = kept.get(name)
    if before is not None and _version(row) < _version(before):
        return False
    kept[name] = row  # the watch keeps this very one, where it is the same
    return before != row


def _version(row: ProgramRow | NodeStateRow | RevisionRow) -> int:
    return version_of(row.resource_version)
