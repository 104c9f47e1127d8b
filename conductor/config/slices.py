"""What each part is given of the settings; never the whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

__all__ = [
    "AgentConfig",
    "ClusterConfig",
    "HttpConfig",
    "IdentityConfig",
    "ImageConfig",
    "KeeperConfig",
    "LoaderConfig",
    "LogConfig",
    "LogFormat",
    "LogLevel",
    "RoadConfig",
    "RoadMode",
]

RoadMode = Literal["auto", "bpfman", "embedded", "none"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoadConfig:
    """The one road to the kernel."""

    mode: RoadMode
    bpfman_socket: Path
    loader_socket: Path
    bpffs: Path
    pin_prefix: tuple[tuple[Path, Path], ...]
    netns: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderConfig:
    """The privileged daemon. Its directories are root's: it never follows what the agent could have put there."""

    socket: Path
    bpffs: Path
    state_dir: Path
    cache_dir: Path
    stats: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """The agent's doors and directories; the directories belong to its user."""

    socket: Path
    state_dir: Path
    cache_dir: Path
    read_group: str
    change_group: str
    names: Path | None
    apply: tuple[Path, ...]
    node_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityConfig:
    """Who the agent is to become; `privilege.identity_of` resolves it."""

    user: str
    groups: tuple[str, ...]
    allow_uid0: bool
    doors: tuple[str, ...] = ()
    """Groups that the agent's socket is for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperConfig:
    """`conductor up` itself."""

    state_dir: Path
    with_loader: bool
    keep: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpConfig:
    """Where HTTP is served; an empty host means every address."""

    address: str
    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """The Kubernetes side."""

    joins: bool
    """Whether the agent belongs to a cluster, where there is one."""
    kubeconfig: Path | None = field(repr=False)
    namespace: str
    node_name: str
    lease_duration: float
    """Seconds."""
    allow_paths: bool = False
    """What the cluster asks for may be a file of this node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """The Image Manager's files."""

    cache_dir: Path
    image_policy: Path | None
    registries: Path | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """Logging of one process."""

    level: LogLevel
    format: LogFormat
