"""The leader's decisions: what turns a cluster, as it is known, into what its programs' specs say.

Applying all of it and asking again answers nothing. Each answer changes nodes by what statuses already say, so a leader
may end between any two actions.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from conductor.model.fleet import FINALIZER, FleetKey
from conductor.model.fleet_rows import ProgramRow, RevisionRow
from conductor.model.fleet_status import Phase
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
from conductor.plan.fleet_deletion import leaving
from conductor.plan.fleet_news import news
from conductor.plan.fleet_revisions import made, revision_named, superfluous, target_of
from conductor.plan.fleet_rollout import Turn, moves, turned
from conductor.plan.fleet_rollup import IMAGE_UNRESOLVED, INVALID_SPEC, is_urgent, rolled_up
from conductor.plan.fleet_world import Entries, FleetWorld, Place, Unresolved, places

__all__ = ["FleetPlan", "lacking", "plan"]


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """What is to be done now, in order, and when something is due without anything having happened."""

    actions: tuple[FleetAction, ...]
    later: dict[FleetKey, float] = field(default_factory=dict)
    """Unix seconds at which a program is looked at again."""
    crowded: frozenset[FleetKey] = frozenset()
    """Programs for which a node has no room: they are looked at again when one has."""


def lacking(world: FleetWorld, programs: Collection[FleetKey]) -> tuple[ProgramRow, ...]:
    """Answer the programs whose spec has no revision yet: their images are to be resolved first."""
    rows = (world.programs.get(key) for key in sorted(programs))
    return tuple(row for row in rows if row and not row.deleting and not row.problem and not target_of(row, world))


def plan(
    world: FleetWorld,
    now: float,
    *,
    programs: Collection[FleetKey] | None = None,
    nodes: Collection[str] | None = None,
) -> FleetPlan:
    """Answer what is to be done for these programs and nodes; for all where none are named.

    `now` is Unix time. Entries of other programs stay as they are.
    """
    draft = _Draft(world, now)
    for key in sorted(programs if programs is not None else draft.all_keys()):
        draft.decide(key)
    for name in sorted(nodes if nodes is not None else {*world.nodes, *world.states}):
        draft.visit(name)
    return draft.done()


class _Draft:
    """One decision in the making; it lives as long as one call of `plan`."""

    def __init__(self, world: FleetWorld, now: float) -> None:
        self._world, self._now = world, now
        self._nodes = sorted(world.nodes)
        self._entries = Entries(world.states)
        self._actions: list[FleetAction] = []
        self._later: dict[FleetKey, float] = {}
        self._crowded: set[FleetKey] = set()

    def all_keys(self) -> set[FleetKey]:
        """Answer every program that is there or was."""
        found = {*self._world.programs, *(row.key for row in self._world.revisions.values())}
        return found.union(item.key for state in self._world.states.values() for item in state.spec)

    # --- one program --------------------------------------------------------------------------------------------------

    def decide(self, key: FleetKey) -> None:
        """Decide about one program."""
        program = self._world.programs.get(key)
        if program is None:
            self._forget(key)
        elif program.deleting:
            self._let_go(program)
        else:
            self._roll(program)

    def _forget(self, key: FleetKey) -> None:
        """Nothing is left of a program that is gone without our leave."""
        if self._withdraw(key):
            return
        for row in self._world.revisions.values():
            if row.key == key:
                self._actions.append(DeleteRevision(key=key, name=row.name, resource_version=row.resource_version))

    def _let_go(self, program: ProgramRow) -> None:
        self._withdraw(program.key)
        step = leaving(program, self._world, self._now)
        self._actions += step.actions
        if step.again is not None:
            self._later[program.key] = step.again
        if program.is_held and not any(isinstance(action, RemoveFinalizer) for action in step.actions):
            among = places(program, self._world, self._nodes, self._entries)
            self._say(program, _standing(program), "", ("", ""), among)

    def _withdraw(self, key: FleetKey) -> bool:
        """Take a program from every node that has it; answers whether one had."""
        having = [name for name in self._world.states if self._entries.get(name, key)]
        for name in having:
            self._entries.put(name, key, None)
        return bool(having)

    def _roll(self, program: ProgramRow) -> None:
        world, key = self._world, program.key
        self._actions += made(program, world)
        if not program.is_held:
            finalizers = (*program.finalizers, FINALIZER)
            held = AddFinalizer(key=key, resource_version=program.resource_version, finalizers=finalizers)
            self._actions.append(held)
            return
        among = places(program, world, self._nodes, self._entries)
        if any(not place.has_room for place in among):
            self._crowded.add(key)
        target = None if program.problem else target_of(program, world)
        if not program.problem:
            self._move(program, target, among)
        if target is None:
            trouble = _trouble(program, world)
            if trouble[0]:
                self._say(program, _standing(program), "", trouble, among)
            return
        turn = turned(program, target, among, self._now)
        if turn.phase is Phase.SOAKING:
            self._later[key] = turn.since + program.strategy.soak
        if turn.phase is Phase.IDLE:
            self._actions += superfluous(program, world)
        self._say(program, turn, target.hash, ("", ""), among)

    def _move(self, program: ProgramRow, target: RevisionRow | None, among: list[Place]) -> None:
        key = program.key
        stable = revision_named(program, self._world, program.status.revision)
        for name, assignment in moves(program, target, stable, among).items():
            self._entries.put(name, key, assignment)
        meant = {place.node for place in among}
        for name in self._world.states:
            if name not in meant and self._entries.get(name, key):
                self._entries.put(name, key, None)

    def _say(
        self, program: ProgramRow, turn: Turn, target_hash: str, trouble: tuple[str, str], among: list[Place]
    ) -> None:
        status = rolled_up(program, turn, target_hash, among, self._now, trouble=trouble)
        if status == program.status:
            return
        self._actions.append(
            WriteStatus(
                key=program.key,
                resource_version=program.resource_version,
                status=status,
                urgent=is_urgent(program.status, status),
            )
        )
        self._actions += news(program, status)

    # --- one node -----------------------------------------------------------------------------------------------------

    def visit(self, node: str) -> None:
        """See that a node has its object, and that one without a node goes."""
        self._entries.of(node)

    def _written(self, node: str) -> FleetAction | None:
        world = self._world
        state = world.states.get(node)
        if node not in world.nodes:
            return DeleteNodeState(node=node, resource_version=state.resource_version) if state else None
        entries = self._entries.of(node)
        assignments = tuple(entries[key] for key in sorted(entries))
        if state is None:
            return CreateNodeState(node=node, assignments=assignments, changed=tuple(sorted(entries)))
        before = {item.key: item for item in state.spec}
        if before == entries:
            return None
        changed = sorted(key for key in {*before, *entries} if before.get(key) != entries.get(key))
        return WriteNodeState(
            node=node, assignments=assignments, resource_version=state.resource_version, changed=tuple(changed)
        )

    def done(self) -> FleetPlan:
        """Answer it all: what is needed first comes first."""
        written = (self._written(node) for node in sorted(self._entries.changed))
        actions = [*self._actions, *(action for action in written if action is not None)]
        actions.sort(key=_rank)
        return FleetPlan(tuple(actions), self._later, frozenset(self._crowded))


def _standing(program: ProgramRow) -> Turn:
    """Where a roll-out stands while nobody may go on with it."""
    status = program.status
    kept = status.failures if status.phase is Phase.ROLLED_BACK else ()
    return Turn(
        phase=status.phase,
        since=status.phase_since,
        revision=status.revision,
        update=status.update_revision,
        failures=kept,
    )


def _trouble(program: ProgramRow, world: FleetWorld) -> tuple[str, str]:
    if program.problem:
        return INVALID_SPEC, program.problem
    wish = world.wishes.get(program.key)
    return (IMAGE_UNRESOLVED, wish.message) if isinstance(wish, Unresolved) else ("", "")


_RANKS: dict[type, int] = {
    DeleteRevision: 1,
    CreateRevision: 2,
    AddFinalizer: 3,
    WriteStatus: 4,
    Emit: 5,
    WriteNodeState: 6,
    CreateNodeState: 6,
    DeleteNodeState: 7,
    RemoveFinalizer: 8,
}


def _rank(action: FleetAction) -> int:
    return _RANKS[type(action)]
