"""What a person wants to read in `kubectl describe`, once for each time it happened."""

from __future__ import annotations

from conductor.model.fleet_rows import ProgramRow
from conductor.model.fleet_status import FleetStatus, Phase
from conductor.plan.fleet_actions import Emit
from conductor.plan.fleet_rollup import DEGRADED, PROGRESSING

__all__ = ["news"]

WORDS = {
    Phase.CANARY: "RolloutStarted",
    Phase.SOAKING: "CanaryRunning",
    Phase.ROLLING: "RollingOut",
    Phase.IDLE: "RolloutComplete",
    Phase.PAUSED: "RolloutPaused",
    Phase.ROLLED_BACK: "RolledBack",
}


def news(program: ProgramRow, after: FleetStatus) -> list[Emit]:
    """Answer the events of a change of status."""
    before = program.status
    found: list[Emit] = []
    if (before.phase, before.update_revision) != (after.phase, after.update_revision) and after.update_revision:
        is_bad = after.phase is Phase.ROLLED_BACK
        told = after.condition(DEGRADED if is_bad else PROGRESSING)
        note = told.message if told else after.update_revision
        occasion = f"{after.update_revision} {after.phase_since:g}"
        found.append(_event(program, WORDS[after.phase], note, occasion, warning=is_bad))
    degraded, was = after.condition(DEGRADED), before.condition(DEGRADED)
    if degraded and degraded.status and after.phase is not Phase.ROLLED_BACK:
        is_new = was is None or not was.status or was.reason != degraded.reason
        if is_new:
            occasion = f"{program.generation} {degraded.since:g}"
            found.append(_event(program, degraded.reason, degraded.message, occasion, warning=True))
    return found


def _event(program: ProgramRow, reason: str, note: str, occasion: str, *, warning: bool) -> Emit:
    return Emit(key=program.key, uid=program.uid, reason=reason, note=note, warning=warning, occasion=occasion)
