"""What the leader says of a program: counts, the first failures, and conditions that change only when the world does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from conductor.model.fleet_rows import ProgramRow
from conductor.model.fleet_status import (
    FIRST_FAILURES,
    FleetCondition,
    FleetCounts,
    FleetFailure,
    FleetStatus,
    Phase,
)
from conductor.plan.fleet_census import Among
from conductor.plan.fleet_rollout import Turn
from conductor.plan.kernel_pods import NOTHING

__all__ = ["DEGRADED", "IMAGE_UNRESOLVED", "INVALID_SPEC", "PROGRESSING", "READY", "is_urgent", "rolled_up"]

READY, PROGRESSING, DEGRADED = "Ready", "Progressing", "Degraded"
IMAGE_UNRESOLVED, INVALID_SPEC, FULL = "ImageUnresolved", "InvalidSpec", "NodesFull"
NAMED = 3
"""Nodes that a message names."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One condition, before it is known since when it holds."""

    status: bool
    reason: str
    message: str


def rolled_up(
    program: ProgramRow,
    turn: Turn,
    target_hash: str,
    among: Among,
    now: float,
    *,
    trouble: tuple[str, str] = ("", ""),
) -> FleetStatus:
    """Answer the status of a program. `trouble`: reason and message why its spec has no revision, if it has none."""
    ready = among.such(lambda how: how.is_ready)
    counts = FleetCounts(
        desired=among.total,
        updated=ready.count(lambda how: how.runs and how.has(target_hash)),
        ready=ready.count(lambda how: how.runs),
        failed=ready.count(lambda how: how.is_broken),
        unreachable=among.total - ready.total,
    )
    broken = tuple(
        FleetFailure(node, report.reason or report.state.word, report.message)
        for node, report in ready.such(lambda how: how.is_broken).reports(FIRST_FAILURES)
    )
    failures = (turn.failures or broken)[:FIRST_FAILURES]
    claims = {
        READY: _ready(ready, counts),
        PROGRESSING: _progressing(program, turn, target_hash, trouble, ready),
        DEGRADED: _degraded(turn, trouble, among, broken, counts.failed),
    }
    return FleetStatus(
        observed_generation=program.generation,
        revision=turn.revision,
        update_revision=turn.update,
        phase=turn.phase,
        phase_since=turn.since,
        nodes=counts,
        failures=failures,
        conditions=tuple(_condition(program, type_, claim, now) for type_, claim in claims.items()),
    )


def is_urgent(before: FleetStatus, after: FleetStatus) -> bool:
    """Whether more than counts, messages and failures differ."""
    return _gist(before) != _gist(after)


def _gist(status: FleetStatus) -> tuple[object, ...]:
    told = tuple((item.type, item.status, item.reason) for item in status.conditions)
    return status.observed_generation, status.revision, status.update_revision, status.phase, status.phase_since, told


def _condition(program: ProgramRow, type_: str, claim: Claim, now: float) -> FleetCondition:
    before = program.status.condition(type_)
    kept = before is not None and before.status is claim.status
    return FleetCondition(
        type=type_,
        status=claim.status,
        reason=claim.reason,
        message=claim.message,
        generation=program.generation,
        since=before.since if before is not None and kept else float(int(now)),
    )


def _ready(ready: Among, counts: FleetCounts) -> Claim:
    if not counts.desired:
        return Claim(False, "NoNodes", "the nodeSelector takes no node of this cluster")
    if not ready.groups:
        return Claim(False, "NoReadyNodes", f"none of its {counts.desired} nodes is ready")
    lacking = ready.such(lambda how: not how.runs)
    if lacking.groups:
        return Claim(False, "NotRunning", f"{counts.ready} of {ready.total} nodes run it; not yet {_names(lacking)}")
    told = f"{counts.ready} of {ready.total} nodes run it"
    if ready.all(lambda how: how.is_idle):
        words = "; ".join(report.message for _, report in ready.reports(1))
        return Claim(True, NOTHING, f"{told}, attached to nothing: {words}")
    return Claim(True, "Running", told)


def _progressing(program: ProgramRow, turn: Turn, target_hash: str, trouble: tuple[str, str], ready: Among) -> Claim:
    if program.deleting:
        return Claim(True, "Deleting", "it is removed from its nodes")
    if trouble[0]:
        return Claim(False, *trouble)
    late = ready.such(lambda how: how.has(target_hash) and not how.runs)
    waits = f"; {_waits(late)}" if late.groups else ""
    match turn.phase:
        case Phase.IDLE:
            return Claim(False, "Complete", f"{turn.revision} is on all nodes")
        case Phase.PAUSED:
            return Claim(False, "Paused", f"{turn.update} waits until updateStrategy.pause is taken back")
        case Phase.CANARY:
            told = waits or ("" if ready.groups else "; no node is ready")
            return Claim(True, "Canary", f"{turn.update} is tried first on {program.strategy.canary.printed()}{told}")
        case Phase.SOAKING:
            return Claim(
                True, "Soaking", f"{turn.update} must run well for {program.strategy.soak:g} s before it goes on"
            )
        case Phase.ROLLING:
            return Claim(True, "Rolling", f"{turn.update} goes to all nodes{waits}")
        case Phase.ROLLED_BACK:
            back = f"to {turn.revision}" if turn.revision else "to none, as none ran before"
            return Claim(False, "RolledBack", f"{turn.update} was rolled back {back}; edit the spec to go on")


def _degraded(turn: Turn, trouble: tuple[str, str], among: Among, broken: Sequence[FleetFailure], failed: int) -> Claim:
    if turn.phase is Phase.ROLLED_BACK:
        return Claim(True, "RolledBack", f"{turn.update}: {_told(turn.failures, len(turn.failures))}")
    if trouble[0]:
        return Claim(True, *trouble)
    full = among.such(lambda how: not how.has_room)
    if full.groups:
        message = f"{_names(full)} hold as many programs as a node may have; remove one there, or select fewer nodes"
        return Claim(True, FULL, message)
    if broken:
        return Claim(True, broken[0].reason, _told(broken, failed))
    return Claim(False, "AsExpected", "no node says that it fails")


def _told(failures: Sequence[FleetFailure], number: int) -> str:
    if not failures:
        return "a node failed"
    first = failures[0]
    more = f" (and {number - 1} more)" if number > 1 else ""
    return f"node {first.node}: {first.reason}: {first.message}{more}"


def _waits(late: Among) -> str:
    """Say what the first node is at: its own words tell more than a count."""
    (first,) = late.names(1)
    report = late.states[first].reported(late.key)
    state = f" ({' '.join(filter(None, (report.state.word, report.reason)))})" if report else ""
    return f"{_names(late)} not yet{state}"


def _names(nodes: Among) -> str:
    more = f" and {nodes.total - NAMED} more" if nodes.total > NAMED else ""
    return f"{', '.join(nodes.names(NAMED))}{more}"
