"""The leader's decisions: what turns a cluster, as it is known, into what its programs' specs say.

Applying all of it and asking again answers nothing. Each answer changes nodes by what statuses already say, so a leader
may end between any two actions.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from conductor.model.fleet import FINALIZER, FleetKey
from conductor.model.fleet_rows import ProgramRow
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
from conductor.plan.fleet_census import Among
from conductor.plan.fleet_deletion import leaving
from conductor.plan.fleet_news import news
from conductor.plan.fleet_revisions import made, revision_named, superfluous, target_of
from conductor.plan.fleet_rollout import Moves, Turn, moves, turned
from conductor.plan.fleet_rollup import IMAGE_UNRESOLVED, INVALID_SPEC, is_urgent, rolled_up
from conductor.plan.fleet_world import Entries, FleetWorld, Unresolved

__all__ = ["FleetPlan", "lacking", "plan"]


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """What is to be done now, in order, and when something is due without anything having happened."""

    actions: tuple[FleetAction, ...]
    later: dict[FleetKey, float] = field(default_factory=dict)
    """Unix seconds at which a program is looked at again."""
    crowded: frozenset[FleetKey] = frozenset()
    """Programs for which a node has no room: they are looked at again when one has."""
    more: frozenset[FleetKey] = frozenset()
    """Programs and,"""
    more_nodes: frozenset[str] = frozenset()
    """nodes for which more is to be done, once this is: it was more than was asked for at once."""


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
    most: int | None = None,
) -> FleetPlan:
    """Answer what is to be done for these programs and nodes; for all where none are named.

    `now` is Unix time. Entries of other programs stay as they are. At most so many nodes are written.
    """
    draft = _Draft(world, now, most)
    for key in sorted(programs if programs is not None else draft.all_keys()):
        draft.decide(key)
    for name in sorted(nodes if nodes is not None else {*world.nodes, *world.states}):
        draft.visit(name)
    return draft.done()


class _Draft:
    """One decision in the making; it lives as long as one call of `plan`."""

    def __init__(self, world: FleetWorld, now: float, most: int | None) -> None:
        self._world, self._now, self._most = world, now, most
        self._census = world.counted()
        self._entries = Entries(world.states)
        self._actions: list[FleetAction] = []
        self._later: dict[FleetKey, float] = {}
        self._crowded: set[FleetKey] = set()
        self._more: set[FleetKey] = set()
        self._more_nodes: set[str] = set()

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
        step = leaving(program, self._world, self._census, self._now)
        self._actions += step.actions
        if step.again is not None:
            self._later[program.key] = step.again
        if program.is_held and not any(isinstance(action, RemoveFinalizer) for action in step.actions):
            self._say(program, _standing(program), "", ("", ""), self._among(program))

    def _among(self, program: ProgramRow) -> Among:
        return self._census.meant(program.key, self._world.states)

    def _withdraw(self, key: FleetKey, *, strays: bool = False) -> bool:
        """Take a program from every node that has it, or that has it without being meant; answers whether one had."""
        seen = self._census.seen(key, self._world.states)
        having = seen.such(lambda how: how.assigned is not None and not (strays and how.is_meant))
        self._change(key, dict.fromkeys(having.names(self._most)))
        return bool(having.groups)

    def _change(self, key: FleetKey, moves: Moves) -> None:
        """Change entries of a program, in the order of nodes, so that all programs change the same nodes first."""
        if self._most is not None and len(moves) >= self._most:
            self._more.add(key)
        for name, assignment in moves.items():
            if not self._entries.put(name, key, assignment):
                self._crowded.add(key)

    def _roll(self, program: ProgramRow) -> None:
        world, key = self._world, program.key
        self._actions += made(program, world, self._census)
        if not program.is_held:
            finalizers = (*program.finalizers, FINALIZER)
            held = AddFinalizer(key=key, resource_version=program.resource_version, finalizers=finalizers)
            self._actions.append(held)
            return
        among = self._among(program)
        if among.any(lambda how: not how.has_room):
            self._crowded.add(key)
        target = None if program.problem else target_of(program, world)
        if not program.problem:
            stable = revision_named(program, world, program.status.revision)
            self._change(key, moves(program, target, stable, among, self._most))
            self._withdraw(key, strays=True)
        if target is None:
            trouble = _trouble(program, world)
            if trouble[0]:
                self._say(program, _standing(program), "", trouble, among)
            return
        turn = turned(program, target, among, self._now)
        if turn.phase is Phase.SOAKING:
            self._later[key] = turn.since + program.strategy.soak
        if turn.phase is Phase.IDLE:
            self._actions += superfluous(program, world, self._census)
        self._say(program, turn, target.hash, ("", ""), among)

    def _say(self, program: ProgramRow, turn: Turn, target_hash: str, trouble: tuple[str, str], among: Among) -> None:
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
        if (node in self._world.nodes) == (node in self._world.states):
            return
        if self._most is not None and len(self._entries.changed) >= self._most:
            self._more_nodes.add(node)
        else:
            self._entries.of(node)

    def _written(self, node: str) -> CreateNodeState | WriteNodeState | DeleteNodeState | None:
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
        written = [action for node in sorted(self._entries.changed) if (action := self._written(node)) is not None]
        actions = [*self._actions, *written[: self._most]]
        for action in written[len(written[: self._most]) :]:
            self._more_nodes.add(action.node)
            self._more.update(() if isinstance(action, DeleteNodeState) else action.changed)
        actions.sort(key=_rank)
        return FleetPlan(
            actions=tuple(actions),
            later=self._later,
            crowded=frozenset(self._crowded),
            more=frozenset(self._more),
            more_nodes=frozenset(self._more_nodes),
        )


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
