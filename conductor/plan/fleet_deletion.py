"""How a program goes: from the nodes first, then its revisions, then itself. Nothing waits for a node that is gone."""

from __future__ import annotations

from dataclasses import dataclass

from conductor.model.fleet import FINALIZER
from conductor.model.fleet_rows import ProgramRow
from conductor.plan.fleet_actions import DeleteRevision, Emit, FleetAction, RemoveFinalizer
from conductor.plan.fleet_census import Among, Census
from conductor.plan.fleet_revisions import of_program
from conductor.plan.fleet_world import FleetWorld

__all__ = ["PATIENCE", "Leaving", "leaving"]

PATIENCE = 120.0
"""Seconds for which live nodes are waited for."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """What is done for a program that is to go, and when to look again."""

    actions: tuple[FleetAction, ...] = ()
    again: float | None = None


def leaving(program: ProgramRow, world: FleetWorld, census: Census, now: float) -> Leaving:
    """Answer the next step, once no NodeState names it: entries are taken out before."""
    if not program.is_held:
        return Leaving()
    seen = census.seen(program.key, world.states)
    if seen.any(lambda how: how.assigned is not None):
        return Leaving()  # the writes that take it out are seen first
    until = (program.deleted_at or 0.0) + PATIENCE
    running = _running(seen, world)
    if running and now < until:
        return Leaving(again=until)
    if revisions := of_program(world, program.key):
        return Leaving(
            tuple(
                DeleteRevision(key=program.key, name=row.name, resource_version=row.resource_version)
                for row in revisions
            )
        )
    rest = tuple(name for name in program.finalizers if name != FINALIZER)
    gone = RemoveFinalizer(key=program.key, resource_version=program.resource_version, finalizers=rest)
    return Leaving((gone,) if not running else (_unanswered(program, running), gone))


def _running(seen: Among, world: FleetWorld) -> list[str]:
    """Live nodes whose agent has it still, or has not looked since it was taken out."""
    having = seen.such(lambda how: how.is_ready and how.told is not None).names()
    found = {name for name in having if world.states[name].observed_generation}
    for name, state in world.states.items():
        if 0 < state.observed_generation < state.generation and (node := world.nodes.get(name)) and node.ready:
            found.add(name)
    return sorted(found)


def _unanswered(program: ProgramRow, running: list[str]) -> Emit:
    note = (
        f"{len(running)} nodes did not say within {PATIENCE:g} s that they let it go: {', '.join(running[:3])}; "
        "they do so when their agents are back"
    )
    return Emit(
        key=program.key, uid=program.uid, reason="DeletedUnanswered", note=note, warning=True, occasion=program.uid
    )
