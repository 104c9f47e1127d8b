"""Steps of a roll-out: when a phase ends, and which nodes change in it.

Nodes change by the phase that is written in the program's status, never by one that is about to be: so a leader that
ends at any moment leaves all that the next one needs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from conductor.model.fleet import Assignment, ProgramReport
from conductor.model.fleet_rows import ProgramRow, RevisionRow
from conductor.model.fleet_status import FIRST_FAILURES, FleetFailure, Phase
from conductor.plan.fleet_census import Among, Standing
from conductor.plan.fleet_revisions import assignment_of

__all__ = ["Moves", "Turn", "failures", "moves", "turned"]

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


def turned(program: ProgramRow, target: RevisionRow, among: Among, now: float) -> Turn:
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


def _tried(program: ProgramRow, target: RevisionRow, among: Among, now: float) -> Turn:
    if not program.strategy.canary.amount:
        return _turn(program, Phase.ROLLING, now)
    chosen = _canaries(program, target, among)
    if not chosen.having or chosen.lacking or not chosen.run:
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


def failures(program: ProgramRow, target: RevisionRow, among: Among) -> tuple[FleetFailure, ...]:
    """Answer the first that speaks against a revision, by node: refused, quarantined, failed, or lost over it."""
    trying = among.such(lambda how: how.has(target.hash) and how.told == target.hash)
    refused = trying.such(lambda how: how.is_ready and how.has_refused)
    found = [
        FleetFailure(node, report.reason or report.state.word, report.message)
        for node, report in refused.reports(FIRST_FAILURES)
    ]
    # A node that is away proves nothing, unless it went while it tried this very version.
    was_trying = program.status.phase is not Phase.ROLLING
    away = trying.such(lambda how: not how.is_ready and (was_trying or how.is_moving))
    since = program.status.phase_since
    found += (_lost(node, report, target) for node, report in away.reports(away.total) if report.since >= since)
    return tuple(sorted(found, key=lambda failure: failure.node)[:FIRST_FAILURES])


def _lost(node: str, report: ProgramReport, target: RevisionRow) -> FleetFailure:
    message = f"the node went away while it was {report.state.word} with {target.name}"
    return FleetFailure(node, "NodeLost", message)


def _complete(target: RevisionRow, among: Among) -> bool:
    fitting = among.such(lambda how: how.has_room)
    is_everywhere = fitting.all(lambda how: how.has(target.hash) and (how.runs or not how.is_ready))
    return is_everywhere and fitting.any(lambda how: how.is_ready)


@dataclass(frozen=True, slots=True)
class _Canaries:
    """Nodes that try first: those that have it already, then by name; never one that is not ready."""

    having: tuple[str, ...]
    lacking: tuple[str, ...]
    run: bool
    """All of those that have it."""


def _canaries(program: ProgramRow, target: RevisionRow, among: Among) -> _Canaries:
    able = among.such(lambda how: how.is_ready and how.has_room)
    most = program.strategy.canary.of(able.total, up=True)
    have = able.such(lambda how: how.has(target.hash))
    having = have.names(most)
    lacking = able.such(lambda how: not how.has(target.hash)).names(most - len(having))
    idle = set(have.such(lambda how: not how.runs).names())
    return _Canaries(tuple(having), tuple(lacking), run=idle.isdisjoint(having))


# --- which nodes change ---------------------------------------------------------------------------------------------


def moves(
    program: ProgramRow, target: RevisionRow | None, stable: RevisionRow | None, among: Among, most: int | None = None
) -> Moves:
    """Answer which of a program's nodes change now, by the phase in its status; of each sort so many at the most."""
    status = program.status
    changes = _placed(stable, among, most)
    if target is None or status.update_revision != target.name:
        return changes
    match status.phase:
        case Phase.IDLE:
            return _all(target, among, most) if status.revision == target.name else changes
        case Phase.CANARY | Phase.SOAKING:
            chosen = _canaries(program, target, among).lacking[: _left(program, target, among)]
            return changes | dict.fromkeys(chosen[:most], assignment_of(target))
        case Phase.ROLLING:
            return changes | _rolled(program, target, among, most)
        case Phase.ROLLED_BACK:
            return changes | _returned(program, target, stable, among, most)
        case Phase.PAUSED:
            return changes


def _placed(stable: RevisionRow | None, among: Among, most: int | None) -> Moves:
    """A node without the program gets what all nodes ran last."""
    if stable is None:
        return {}
    without = among.such(lambda how: how.assigned is None and how.has_room)
    return dict.fromkeys(without.names(most), assignment_of(stable))


def _all(revision: RevisionRow, among: Among, most: int | None) -> Moves:
    lacking = among.such(lambda how: how.has_room and not how.has(revision.hash))
    return dict.fromkeys(lacking.names(most), assignment_of(revision))


def _left(program: ProgramRow, revision: RevisionRow, among: Among) -> int:
    """How many may begin to change."""
    changing = among.count(lambda how: how.is_ready and how.has(revision.hash) and not how.runs)
    return max(0, _budget(program, among) - changing)


def _budget(program: ProgramRow, among: Among) -> int:
    ready = among.count(lambda how: how.is_ready)
    return max(1, program.strategy.max_unavailable.of(ready, up=False))


def _rolled(program: ProgramRow, target: RevisionRow, among: Among, most: int | None) -> Moves:
    lacking = among.such(lambda how: how.is_ready and how.has_room and not how.has(target.hash))
    if lacking.groups:
        left = _left(program, target, among)
        return dict.fromkeys(lacking.names(left if most is None else min(most, left)), assignment_of(target))
    # Those that are away change when they are back, all at once: they come last.
    return _all(target, among, most)


def _returned(
    program: ProgramRow, target: RevisionRow, stable: RevisionRow | None, among: Among, most: int | None
) -> Moves:
    """Back to what ran before: at once where nothing runs, else some at a time."""
    if stable is None:
        return dict.fromkeys(among.such(lambda how: how.has(target.hash)).names(most))
    there = among.such(lambda how: how.assigned is not None and not how.has(stable.hash))
    idle = there.such(lambda how: not how.runs or not how.is_ready)
    returning = among.count(lambda how: how.is_ready and how.has(stable.hash) and _returns(how, target))
    budget = max(0, _budget(program, among) - returning)
    running = there.such(lambda how: how.runs and how.is_ready)
    names = [*idle.names(most), *running.names(budget if most is None else min(most, budget))]
    return dict.fromkeys(names, assignment_of(stable))


def _returns(how: Standing, target: RevisionRow) -> bool:
    return how.is_moving or how.told == target.hash
