"""What an agent tells of itself: its own state, what could be loaded, what an apply did, log lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from conductor.model.grants import MapNeed
from conductor.model.ids import Name
from conductor.model.metrics import MetricSpec
from conductor.model.program import ProgramSpec, ProgramType

__all__ = ["AgentInfo", "Applied", "Available", "LogLine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentInfo:
    """The agent as it stands."""

    version: str
    node: str = ""
    road: str = "none"
    """`bpfman`, `embedded` or `none`."""
    flavour: str = ""
    road_version: str = ""
    road_connected: bool = False
    road_problem: str = ""
    features: tuple[str, ...] = ()
    http_address: str = ""
    started: float = 0.0
    """Unix seconds."""
    ready: bool = False
    reasons: tuple[str, ...] = ()
    """Why it is not ready, or degraded: a line each."""
    pid: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Available:
    """A program that could be loaded here."""

    name: str
    type: ProgramType
    description: str = ""
    needs: tuple[MapNeed, ...] = ()
    metrics: tuple[MetricSpec, ...] = ()
    config_schema: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What applying or deleting one manifest did, or would do. `action`: created, configured, unchanged, deleted."""

    kind: str
    name: Name
    action: str
    old: ProgramSpec | None = None
    new: ProgramSpec | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line of a program's log."""

    program: Name
    time: float
    """Unix seconds."""
    level: str
    message: str
