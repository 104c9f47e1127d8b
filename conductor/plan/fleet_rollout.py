"""Steps of a roll-out: when a phase ends, and which nodes change in it.

Nodes change by the phase that is written in the program's status, never by one that is about to be: so a leader that
ends at any moment leaves all that the next one needs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from conductor.model.fleet import Assignment
from conductor.model.fleet_rows import ProgramRow, RevisionRow
from conductor.model.fleet_status import FIRST_FAILURES, FleetFailure, Phase
from conductor.plan.fleet_revisions import assignment_of
from conductor.plan.fleet_world import Place

__all__ = ["Moves", "Turn", "failures", "moves", "turned", "updating"]

Moves = dict[str, Assignment | None]
"""Nodes whose entry changes; None: it goes."""
FUTURE = 60.0
"""Seconds by which another leader's clock may be before ours."""
STEPS = (Phase.CANARY, Phase.SOAKING, Phase.ROLLING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Where a roll-out stands from now on."""

    phase: Phase
    since: float
    revision: str
    update: str
    failures: tuple[FleetFailure, ...] = ()
    """Why it was rolled back."""


def turned(program: ProgramRow, target: RevisionRow, among: Sequence[Place], now: float) -> Turn:
    """Answer where a roll-out of `target` stands, after what the nodes say."""
    status = program.status
    if _begins(program, target):
        return _turn(program, _first(program, target), now, update=target.name)
    if program.strategy.pause and status.phase in STEPS:
        return _turn(program, Phase.PAUSED, now)
    if status.phase is Phase.PAUSED and not program.strategy.pause:
        return _turn(program, _first(program, target), now)
    if status.phase not in STEPS:
        return _stays(program, now)
    broken = failures(program, target, among)
    if broken and program.strategy.rollback_on_failure and target.name != status.revision:
        return _turn(program, Phase.ROLLED_BACK, now, failures=broken)
    if status.phase is Phase.ROLLING:
        is_done = _complete(target, among)
        return _turn(program, Phase.IDLE, now, revision=target.name) if is_done else _stays(program, now)
    return _tried(program, target, among, now)


def _begins(program: ProgramRow, target: RevisionRow) -> bool:
    status = program.status
    is_retried = status.phase is Phase.ROLLED_BACK and status.observed_generation != program.generation
    is_torn = status.phase is Phase.IDLE and status.revision != target.name
    return status.update_revision != target.name or is_retried or is_torn


def _first(program: ProgramRow, target: RevisionRow) -> Phase:
    if program.strategy.pause:
        return Phase.PAUSED
    # What all nodes ran before needs no trial.
    return (
        Phase.ROLLING if not program.strategy.canary.amount or target.name == program.status.revision else Phase.CANARY
    )


def _tried(program: ProgramRow, target: RevisionRow, among: Sequence[Place], now: float) -> Turn:
    if not program.strategy.canary.amount:
        return _turn(program, Phase.ROLLING, now)
    chosen = _canaries(program, target, among)
    if not chosen or not all(place.has(target.hash) and place.runs for place in chosen):
        return _stays(program, now) if program.status.phase is Phase.CANARY else _turn(program, Phase.CANARY, now)
    if program.status.phase is Phase.CANARY:
        return _turn(program, Phase.SOAKING, now)
    is_over = now - program.status.phase_since >= program.strategy.soak
    return _turn(program, Phase.ROLLING, now) if is_over else _stays(program, now)


def _turn(
    program: ProgramRow,
    phase: Phase,
    now: float,
    *,
    revision: str = "",
    update: str = "",
    failures: tuple[FleetFailure, ...] = (),
) -> Turn:
    return Turn(
        phase=phase,
        since=math.ceil(now),  # whole seconds are written, and none of a soak may be lost
        revision=revision or program.status.revision,
        update=update or program.status.update_revision,
        failures=failures[:FIRST_FAILURES],
    )


def _stays(program: ProgramRow, now: float) -> Turn:
    status = program.status
    kept = status.failures if status.phase is Phase.ROLLED_BACK else ()
    turn = _turn(program, status.phase, now, failures=kept)
    return (
        turn
        if status.phase_since > now + FUTURE
        else Turn(phase=turn.phase, since=status.phase_since, revision=turn.revision, update=turn.update, failures=kept)
    )


def failures(program: ProgramRow, target: RevisionRow, among: Sequence[Place]) -> tuple[FleetFailure, ...]:
    """Answer what speaks against a revision, by node: refused, quarantined, failed, or lost over it."""
    found = (_failure(program, target, place) for place in among)
    return tuple(failure for failure in found if failure is not None)


def _failure(program: ProgramRow, target: RevisionRow, place: Place) -> FleetFailure | None:
    report = place.report
    if report is None or not place.has(target.hash) or report.hash != target.hash:
        return None
    if place.is_ready:
        told = FleetFailure(place.node, report.reason or report.state.word, report.message)
        return told if place.has_refused else None
    # A node that is away proves nothing, unless it went while it tried this very version.
    was_trying = program.status.phase is not Phase.ROLLING or place.is_moving
    if not was_trying or report.since < program.status.phase_since:
        return None
    message = f"the node went away while it was {report.state.word} with {target.name}"
    return FleetFailure(place.node, "NodeLost", message)


def _complete(target: RevisionRow, among: Sequence[Place]) -> bool:
    fitting = [place for place in among if place.has_room]
    is_everywhere = all(place.has(target.hash) and (place.runs or not place.is_ready) for place in fitting)
    return is_everywhere and any(place.is_ready for place in fitting)


def _canaries(program: ProgramRow, target: RevisionRow, among: Sequence[Place]) -> list[Place]:
    """Nodes that try first: those that have it already, then by name; never one that is not ready."""
    able = [place for place in among if place.is_ready and place.has_room]
    able.sort(key=lambda place: (not place.has(target.hash), place.node))
    return able[: program.strategy.canary.of(len(able), up=True)]


def updating(target: RevisionRow, among: Sequence[Place]) -> list[Place]:
    """Answer the ready nodes that are to run a revision and do not yet."""
    return [place for place in among if place.is_ready and place.has(target.hash) and not place.runs]


# --- which nodes change ---------------------------------------------------------------------------------------------


def moves(program: ProgramRow, target: RevisionRow | None, stable: RevisionRow | None, among: Sequence[Place]) -> Moves:
    """Answer which of a program's nodes change now, by the phase in its status."""
    status = program.status
    changes = _placed(stable, among)
    if target is None or status.update_revision != target.name:
        return changes
    match status.phase:
        case Phase.IDLE:
            return _all(target, among) if status.revision == target.name else changes
        case Phase.CANARY | Phase.SOAKING:
            return changes | _some(program, target, among, _canaries(program, target, among))
        case Phase.ROLLING:
            return changes | _rolled(program, target, among)
        case Phase.ROLLED_BACK:
            return changes | _returned(program, target, stable, among)
        case Phase.PAUSED:
            return changes


def _placed(stable: RevisionRow | None, among: Sequence[Place]) -> Moves:
    """A node without the program gets what all nodes ran last."""
    if stable is None:
        return {}
    return {place.node: assignment_of(stable) for place in among if place.assigned is None and place.has_room}


def _all(revision: RevisionRow, among: Sequence[Place]) -> Moves:
    lacking = (place for place in among if place.has_room and not place.has(revision.hash))
    return {place.node: assignment_of(revision) for place in lacking}


def _some(program: ProgramRow, revision: RevisionRow, among: Sequence[Place], chosen: Sequence[Place]) -> Moves:
    """As many of the chosen as may change at a time."""
    budget = _budget(program, among) - len(updating(revision, among))
    lacking = [place for place in chosen if not place.has(revision.hash)]
    return {place.node: assignment_of(revision) for place in lacking[: max(0, budget)]}


def _budget(program: ProgramRow, among: Sequence[Place]) -> int:
    ready = sum(place.is_ready for place in among)
    return max(1, program.strategy.max_unavailable.of(ready, up=False))


def _rolled(program: ProgramRow, target: RevisionRow, among: Sequence[Place]) -> Moves:
    chosen = [place for place in among if place.is_ready and place.has_room]
    if not all(place.has(target.hash) for place in chosen):
        return _some(program, target, among, chosen)
    # Those that are away change when they are back, all at once: they come last.
    return _all(target, among)


def _returned(program: ProgramRow, target: RevisionRow, stable: RevisionRow | None, among: Sequence[Place]) -> Moves:
    """Back to what ran before: at once where nothing runs, else some at a time."""
    if stable is None:
        return {place.node: None for place in among if place.has(target.hash)}
    there = [place for place in among if not place.has(stable.hash) and place.assigned is not None]
    idle = [place for place in there if not place.runs or not place.is_ready]
    returning = [place for place in among if place.is_ready and place.has(stable.hash) and _returns(place, target)]
    budget = max(0, _budget(program, among) - len(returning))
    running = [place for place in there if place not in idle]
    return {place.node: assignment_of(stable) for place in [*idle, *running[:budget]]}


def _returns(place: Place, target: RevisionRow) -> bool:
    return place.is_moving or (place.report is not None and place.report.hash == target.hash)
