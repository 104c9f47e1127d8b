"""What a node says of the programs that its cluster assigned to it, row by row."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from conductor.errors import ConductorError
from conductor.model.fleet import MOST_PROGRAMS, Assignment, FleetKey, ProgramReport
from conductor.model.ids import Name
from conductor.model.manifest import kind_of
from conductor.model.program import Source
from conductor.model.status import Condition, KernelStatus, ProgramStatus, State
from conductor.plan.conditions import condition_of
from conductor.plan.merge import Key, Wish

__all__ = ["Assignments", "Seen", "reports"]

_LOADING = Condition(state=State.INITIALIZED, reason="Starting", message="it is looked at soon")
_CHANGING = Condition(state=State.UPDATING, reason="Updating", message="it is brought to what is assigned now")
_LEAVING = Condition(state=State.UPDATING, reason="Unloading", message="it is not assigned any more and goes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignments:
    """What was made of a NodeState's spec."""

    generation: int = 0
    programs: tuple[Assignment, ...] = ()
    refused: Mapping[FleetKey, ConductorError] = field(default_factory=dict)
    """Those that could not become wishes; a version from before goes on."""
    refused_at: float = 0.0
    leaving: Mapping[FleetKey, str] = field(default_factory=dict)
    """Hashes of what was assigned before, by whom is not known yet to be gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """How programs stand."""

    statuses: Iterable[ProgramStatus | KernelStatus] = ()
    wishes: Mapping[Key, Wish] = field(default_factory=dict)
    """The cluster's."""
    under_way: Collection[Key] = ()
    """What was asked of them has no outcome yet."""


def reports(assignments: Assignments, seen: Seen) -> tuple[ProgramReport, ...]:
    """Answer a row for each assignment, in its order, and for what is leaving still."""
    conditions = {
        (kind_of(status.spec), status.spec.name): (status.generation, status.condition)
        for status in seen.statuses
        if status.source is Source.CLUSTER
    }
    rows = [_row(item, _condition(item, assignments, conditions, seen)) for item in assignments.programs]
    going = [
        _row(Assignment(key.kind, key.name, "", digest), _LEAVING)
        for key, digest in sorted(assignments.leaving.items())
    ]
    return tuple([*rows, *going][:MOST_PROGRAMS])


def _condition(
    item: Assignment,
    assignments: Assignments,
    conditions: Mapping[Key, tuple[int, Condition]],
    seen: Seen,
) -> Condition:
    if (error := assignments.refused.get(item.key)) is not None:
        return condition_of(error, assignments.refused_at)
    key, wish = _key(item), seen.wishes.get(_key(item))
    if wish is None or key not in conditions:
        return _LOADING
    generation, condition = conditions[key]
    if condition.state is State.RUNNING and (generation != wish.generation or key in seen.under_way):
        return _CHANGING
    return condition


def _row(item: Assignment, condition: Condition) -> ProgramReport:
    # To whoever assigned a version it failed, though the one before goes on.
    failed = condition.state is State.RUNNING and condition.reason == "UpdateFailed"
    return ProgramReport(
        kind=item.kind,
        name=item.name,
        hash=item.hash,
        state=State.FAILED if failed else condition.state,
        reason=condition.reason,
        message=condition.message,
        since=condition.since,
    )


def _key(item: Assignment) -> Key:
    return item.kind, Name(item.name)
