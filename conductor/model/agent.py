"""What an agent tells its callers: its own state, what could be loaded, what was done, seen and spent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from conductor.model.grants import MapNeed
from conductor.model.ids import Name
from conductor.model.image import PullProgress
from conductor.model.metrics import MetricSpec
from conductor.model.program import ProgramSpec, ProgramType, Source
from conductor.model.status import Condition, Cost, ProgramStatus, State

__all__ = [
    "AgentInfo",
    "Applied",
    "Available",
    "Change",
    "KernelFunctionInfo",
    "KernelInfo",
    "KernelLinkInfo",
    "LogLine",
    "Usage",
    "WatchEvent",
    "WatchType",
]


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
    """What applying or deleting one manifest did, or would do."""

    kind: str
    name: Name
    action: str
    """created, configured, unchanged, deleted or absent."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelLinkInfo:
    """A link as a caller sees it; `attach` in words: `raw_syscalls/sys_enter`, `eth0 ingress`."""

    id: int
    attach: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelFunctionInfo:
    """One loaded program of a kernel program, as a caller sees it."""

    name: str
    type: str
    id: int
    tag: str = ""
    map_ids: tuple[int, ...] = ()
    map_pin_path: str = ""
    links: tuple[KernelLinkInfo, ...] = ()
    run_seconds: float | None = None
    runs: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelInfo:
    """A kernel program as a caller sees it. `bytecode`: `builtin:NAME`, a path, a digest or an image."""

    name: Name
    condition: Condition
    source: Source
    generation: int = 1
    digest: str = ""
    bytecode: str = ""
    functions: tuple[KernelFunctionInfo, ...] = ()
    needed_by: tuple[Name, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What all programs cost, read at one moment (Unix seconds): the difference of two tells rates."""

    time: float
    costs: tuple[Cost, ...] = ()
    states: Mapping[Name, State] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One line of an apply or delete as a caller sees it; `diff` is a unified diff of the spec as YAML."""

    kind: str
    name: str
    action: str
    diff: str = ""


class WatchType(StrEnum):
    """What an event of a watch says."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    SYNCED = "SYNCED"
    """The present state was told; what follows are changes. Without a program."""
    PULLING = "PULLING"
    """An image is being pulled; told to those who asked for it. Without a program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchEvent:
    """A program came, changed or went. `status` is None for SYNCED and PULLING alone, which tells `progress`."""

    type: WatchType
    status: ProgramStatus | None = None
    progress: PullProgress | None = None
