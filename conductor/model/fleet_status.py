"""Words of what the leader says of a program: how far its roll-out is, on how many nodes it runs, what went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from conductor.model.fleet_times import moment_of, stamp_of

__all__ = ["FIRST_FAILURES", "FleetCondition", "FleetCounts", "FleetFailure", "FleetStatus", "Phase"]

FIRST_FAILURES = 5
MOST_MESSAGE = 1024


class Phase(StrEnum):
    """Where a roll-out stands."""

    IDLE = "Idle"
    CANARY = "Canary"
    SOAKING = "Soaking"
    ROLLING = "Rolling"
    PAUSED = "Paused"
    ROLLED_BACK = "RolledBack"


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetCondition:
    """A condition as `kubectl wait` takes it."""

    type: str
    status: bool
    reason: str
    message: str = ""
    generation: int = 0
    since: float = 0.0
    """Unix seconds at which `status` last changed."""

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Self:
        """Read one of `status.conditions`."""
        return cls(
            type=raw.get("type") or "",
            status=raw.get("status") == "True",
            reason=raw.get("reason") or "",
            message=raw.get("message") or "",
            generation=raw.get("observedGeneration") or 0,
            since=moment_of(raw.get("lastTransitionTime")),
        )

    def printed(self) -> dict[str, Any]:
        """Print it."""
        return {
            "type": self.type,
            "status": "True" if self.status else "False",
            "reason": self.reason,
            "message": self.message[:MOST_MESSAGE],
            "observedGeneration": self.generation,
            "lastTransitionTime": stamp_of(self.since),
        }


@dataclass(frozen=True, slots=True)
class FleetFailure:
    """Why one node cannot run a program."""

    node: str
    reason: str
    message: str

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Self:
        """Read one of `status.failures`."""
        return cls(raw.get("node") or "", raw.get("reason") or "", raw.get("message") or "")

    def printed(self) -> dict[str, Any]:
        """Print it."""
        return {"node": self.node, "reason": self.reason, "message": self.message}


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetCounts:
    """Nodes by where they stand; nodes that are not ready are in `desired` and `unreachable` alone."""

    desired: int = 0
    """Nodes that the selector takes."""
    updated: int = 0
    """That run what the spec says now."""
    ready: int = 0
    """That run what they are to run."""
    failed: int = 0
    unreachable: int = 0

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Self:
        """Read `status.nodes`."""
        names = ("desired", "updated", "ready", "failed", "unreachable")
        return cls(**{name: raw.get(name) or 0 for name in names})

    def printed(self) -> dict[str, Any]:
        """Print it whole."""
        return {
            "desired": self.desired,
            "updated": self.updated,
            "ready": self.ready,
            "failed": self.failed,
            "unreachable": self.unreachable,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetStatus:
    """The status of a KernelProgram or UserProgram; also all that a new leader goes on from."""

    observed_generation: int = 0
    revision: str = ""
    """What all nodes ran last; empty before the first roll-out came to its end."""
    update_revision: str = ""
    """What is rolled out, or was; `revision` where there is nothing to do."""
    phase: Phase = Phase.IDLE
    phase_since: float = 0.0
    nodes: FleetCounts = FleetCounts()
    failures: tuple[FleetFailure, ...] = ()
    """The first few."""
    conditions: tuple[FleetCondition, ...] = ()

    def condition(self, type_: str) -> FleetCondition | None:
        """Answer one of the conditions Ready, Progressing, Degraded."""
        return next((item for item in self.conditions if item.type == type_), None)

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Self:
        """Read `status`, whatever it lacks."""
        phase = raw.get("phase")
        return cls(
            observed_generation=raw.get("observedGeneration") or 0,
            revision=raw.get("revision") or "",
            update_revision=raw.get("updateRevision") or "",
            phase=Phase(phase) if phase in list(Phase) else Phase.IDLE,
            phase_since=moment_of(raw.get("phaseSince")),
            nodes=FleetCounts.parse(raw.get("nodes") or {}),
            failures=tuple(map(FleetFailure.parse, raw.get("failures") or ())),
            conditions=tuple(map(FleetCondition.parse, raw.get("conditions") or ())),
        )

    def printed(self) -> dict[str, Any]:
        """Print it whole: in a merge nothing of before is left."""
        return {
            "observedGeneration": self.observed_generation,
            "revision": self.revision,
            "updateRevision": self.update_revision,
            "phase": self.phase.value,
            "phaseSince": stamp_of(self.phase_since),
            "nodes": self.nodes.printed(),
            "failures": [failure.printed() for failure in self.failures[:FIRST_FAILURES]],
            "conditions": [item.printed() for item in self.conditions],
        }
