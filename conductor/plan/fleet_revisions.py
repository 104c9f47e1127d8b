"""Which revision a program is to be at, and which ones nobody needs any more."""

from __future__ import annotations

from conductor.model.fleet import Assignment, FleetKey
from conductor.model.fleet_rows import ProgramRow, RevisionRow
from conductor.plan.fleet_actions import CreateRevision, DeleteRevision, FleetAction
from conductor.plan.fleet_census import Census
from conductor.plan.fleet_world import FleetWorld, Wanted

__all__ = ["KEPT", "assignment_of", "made", "of_program", "revision_named", "superfluous", "target_of"]

KEPT = 10
"""Revisions of a program that stay beside those in use."""


def assignment_of(row: RevisionRow) -> Assignment:
    """Answer a revision as a node is told of it."""
    return Assignment(row.kind, row.program, row.name, row.hash)


def of_program(world: FleetWorld, key: FleetKey) -> list[RevisionRow]:
    """Answer a program's revisions, the newest first, those of an earlier program of its name included."""
    mine = (row for row in world.revisions.values() if row.program == key.name and row.kind == key.kind)
    return sorted(mine, key=lambda row: (-row.number, row.name))


def target_of(program: ProgramRow, world: FleetWorld) -> RevisionRow | None:
    """Answer the revision of what its spec says now; None where it has yet to be made."""
    wish = world.wishes.get(program.key)
    named = wish.row.name if isinstance(wish, Wanted) and wish.row.spec_hash == program.spec_hash else ""
    for row in of_program(world, program.key):
        if row.owner_uid == program.uid and (row.spec_hash == program.spec_hash or row.name == named):
            return row
    return None


def revision_named(program: ProgramRow, world: FleetWorld, name: str) -> RevisionRow | None:
    """Answer one of its revisions by name."""
    row = world.revisions.get(name)
    return row if row is not None and row.owner_uid == program.uid else None


def made(program: ProgramRow, world: FleetWorld, census: Census) -> list[FleetAction]:
    """Make the revision that is wanted, and remove those of an earlier program of the same name.

    Theirs go with their owner sooner or later. Until then those that nodes run stay, unless one is in the way.
    """
    wish = world.wishes.get(program.key)
    is_due = isinstance(wish, Wanted) and _is_of(wish.row, program) and target_of(program, world) is None
    wanted = wish if isinstance(wish, Wanted) and is_due else None
    strays = [row for row in of_program(world, program.key) if row.owner_uid != program.uid]
    used = _used(program.key, census) if strays else set()
    done: list[FleetAction] = [
        DeleteRevision(key=program.key, name=row.name, resource_version=row.resource_version)
        for row in strays
        if row.name not in used or (wanted is not None and row.name == wanted.row.name)
    ]
    return [*done, CreateRevision(key=program.key, row=wanted.row, document=wanted.document)] if wanted else done


def _is_of(row: RevisionRow, program: ProgramRow) -> bool:
    return (row.spec_hash, row.owner_uid) == (program.spec_hash, program.uid)


def _used(key: FleetKey, census: Census) -> set[str]:
    return {how.revision for how in census.groups().get(key, ()) if how.assigned is not None}


def superfluous(program: ProgramRow, world: FleetWorld, census: Census) -> list[FleetAction]:
    """Remove a program's oldest revisions that no node is to run and that no roll-out could return to."""
    old = [row for row in of_program(world, program.key) if row.owner_uid == program.uid][KEPT:]
    if not old:
        return []
    needed = {program.status.revision, program.status.update_revision, *_used(program.key, census)}
    return [
        DeleteRevision(key=program.key, name=row.name, resource_version=row.resource_version)
        for row in old
        if row.name not in needed and row.spec_hash != program.spec_hash
    ]
