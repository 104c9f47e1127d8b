"""The settings themselves: one field each, with its parser, default and help."""
# ruff: noqa: RUF009 - `_setting` only builds a dataclass field

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from conductor.config import values
from conductor.config.slices import (
    AgentConfig,
    ClusterConfig,
    HttpConfig,
    IdentityConfig,
    ImageConfig,
    KeeperConfig,
    LoaderConfig,
    LogConfig,
    LogFormat,
    LogLevel,
    RoadConfig,
    RoadMode,
)
from conductor.errors import InvalidConfig

__all__ = ["OPTIONS", "Config", "Option", "as_flags"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One setting as the doors show it; `name` is the field, `flag` and `variable` follow from it."""

    name: str
    parse: values.Parser
    default: Any
    help: str
    metavar: str = ""
    many: bool = False

    @property
    def flag(self) -> str:
        """Spelling on the command line: --agent-socket."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """Spelling in the environment: CONDUCTOR_AGENT_SOCKET."""
        return "CONDUCTOR_" + self.name.upper()

    @property
    def is_switch(self) -> bool:
        """It is on or off."""
        return isinstance(self.default, bool)


def _setting(
    parse: values.Parser, default: Any, help_: str, metavar: str = "", *, many: bool = False, secret: bool = False
) -> Any:
    meta = {"parse": parse, "help": help_, "metavar": metavar, "many": many}
    return field(default=default, repr=not secret, metadata=meta)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every setting, checked. Paths that may lead to credentials are left out of `repr`."""

    kernel: RoadMode = _setting(
        values.one_of("auto", "bpfman", "embedded", "none"), "auto", "Road to the kernel.", "auto|bpfman|embedded|none"
    )
    agent_socket: Path = _setting(
        values.socket_path, Path("/run/ebpfconductor/agent.sock"), "Socket that the agent serves (0660).", "PATH"
    )
    loader_socket: Path = _setting(
        values.socket_path, Path("/run/ebpfconductor/loader.sock"), "Socket that the loader serves.", "PATH"
    )
    bpfman_socket: Path = _setting(
        values.socket_path, Path("/run/bpfman-sock/bpfman.sock"), "Socket of a real bpfman.", "PATH"
    )
    bpffs: Path = _setting(values.path, Path("/run/ebpfconductor/bpf"), "Where the loader keeps its pins.", "DIR")
    state_dir: Path = _setting(values.path, Path("/var/lib/ebpfconductor"), "What must survive a restart.", "DIR")
    cache_dir: Path = _setting(values.path, Path("/var/cache/ebpfconductor"), "What may be made again.", "DIR")
    http_address: str = _setting(
        values.address, "127.0.0.1:8080", "Where /metrics, /healthz, /readyz and the page are served.", "HOST:PORT"
    )
    node_name: str = _setting(values.text, "", "Name of this node; default: the host's name.", "NAME")
    namespace: str = _setting(values.text, "", "Namespace of our Lease, revisions and pull secrets.", "NAME")
    kubeconfig: Path | None = _setting(
        values.path_or_none, None, "Use the cluster of this file; inside a pod the pod's own.", "FILE", secret=True
    )
    join_cluster: bool = _setting(
        values.switch, True, "Belong to the cluster of --kubeconfig, or of the pod that this is."
    )
    user: str = _setting(values.user, "65532", "Who the agent becomes when started as root: USER[:GROUP].", "USER")
    groups: tuple[str, ...] = _setting(values.accounts, (), "Supplementary groups of the agent.", "GROUP", many=True)
    allow_uid0: bool = _setting(
        values.switch, False, "Let the agent stay uid 0: no capability, but root's files, which is no boundary."
    )
    read_group: str = _setting(
        values.account_or_none, "", "Group that may look; default: the agent's user and root alone.", "GROUP"
    )
    change_group: str = _setting(
        values.account_or_none, "", "Group that may load and unload; default: the agent's user and root alone.", "GROUP"
    )
    names: Path | None = _setting(
        values.path_or_none, None, "File of names for IP addresses (no cluster needed).", "FILE"
    )
    lease_duration: float = _setting(values.seconds, 15.0, "How long leadership lasts unrenewed.", "DURATION")
    allow_cluster_paths: bool = _setting(
        values.switch, False, "Let the cluster name files of this node's disk as bytecode and modules."
    )
    image_policy: Path | None = _setting(values.path_or_none, None, "Which images must be signed, and by whom.", "FILE")
    registries: Path | None = _setting(
        values.path_or_none, None, "Mirrors, certificates and credentials of registries.", "FILE", secret=True
    )
    log_level: LogLevel = _setting(
        values.one_of("debug", "info", "warning", "error"), "info", "Least severity that is logged.", "LEVEL"
    )
    log_format: LogFormat = _setting(values.one_of("text", "json"), "text", "Form of log lines.", "text|json")
    apply: tuple[Path, ...] = _setting(values.paths, (), "Manifests that the agent keeps applied.", "FILE", many=True)
    stats: bool = _setting(values.switch, True, "Let the loader have the kernel count run time of programs.")
    pin_prefix: tuple[tuple[Path, Path], ...] = _setting(
        values.prefixes, (), "The daemon's path prefix FROM is TO as the agent sees it.", "FROM=TO", many=True
    )
    link_netns: Path | None = _setting(
        values.path_or_none, None, "Network namespace of links that name none, as the daemon sees it.", "FILE"
    )
    keep: bool = _setting(values.switch, False, "Leave kernel programs attached when `conductor up` ends.")

    @classmethod
    def parse(cls, *, flags: Mapping[str, Any], environ: Mapping[str, str], file: Mapping[str, Any]) -> Self:
        """Merge the layers, strongest first, and check every value.

        `flags` holds fields by name (None: not given). Empty variables count as not set, and those that are no setting
        are left alone: Kubernetes makes some for any Service named conductor. Raises `InvalidConfig` with all problems.
        """
        layers = (
            ({o.name: flags.get(o.name) for o in OPTIONS}, "{0.flag}"),
            ({o.name: environ.get(o.variable) or None for o in OPTIONS}, "{0.variable}"),
            ({key.replace("-", "_"): value for key, value in file.items()}, "{0.name}"),
        )
        problems = _unknown(file)
        values: dict[str, Any] = {}
        for option in OPTIONS:
            for layer, label in layers:
                if (raw := layer.get(option.name)) is None:
                    continue
                try:
                    values[option.name] = option.parse(raw)
                except ValueError as exc:
                    problems.append((label.format(option), str(exc)))
                break
        if problems:
            raise InvalidConfig(tuple(problems))
        config = cls(**values)
        _check_together(config)
        return config

    @property
    def road(self) -> RoadConfig:
        """What the client of the kernel daemon needs."""
        return RoadConfig(
            mode=self.kernel,
            bpfman_socket=self.bpfman_socket,
            loader_socket=self.loader_socket,
            bpffs=self.bpffs,
            pin_prefix=self.pin_prefix,
            netns=self.link_netns,
        )

    @property
    def loader(self) -> LoaderConfig:
        """What the loader needs."""
        return LoaderConfig(
            socket=self.loader_socket,
            bpffs=self.bpffs,
            state_dir=self.state_dir / "loader",
            cache_dir=self.cache_dir / "loader",
            stats=self.stats,
        )

    @property
    def agent(self) -> AgentConfig:
        """What the agent's own doors and files need."""
        return AgentConfig(
            socket=self.agent_socket,
            state_dir=self.state_dir / "agent",
            cache_dir=self.cache_dir / "agent",
            read_group=self.read_group,
            change_group=self.change_group,
            names=self.names,
            apply=self.apply,
            node_name=self.node_name,
        )

    @property
    def identity(self) -> IdentityConfig:
        """Who the agent is to become."""
        doors = tuple(filter(None, (self.read_group, self.change_group)))
        return IdentityConfig(user=self.user, groups=self.groups, allow_uid0=self.allow_uid0, doors=doors)

    @property
    def keeper(self) -> KeeperConfig:
        """What `conductor up` itself needs."""
        return KeeperConfig(
            state_dir=self.state_dir / "keeper", with_loader=self.kernel in {"auto", "embedded"}, keep=self.keep
        )

    @property
    def http(self) -> HttpConfig:
        """Where HTTP is served."""
        host, _, port = self.http_address.rpartition(":")
        return HttpConfig(address=self.http_address, host=host.strip("[]"), port=int(port))

    @property
    def cluster(self) -> ClusterConfig:
        """What the Kubernetes side needs."""
        return ClusterConfig(
            joins=self.join_cluster,
            kubeconfig=self.kubeconfig,
            namespace=self.namespace,
            node_name=self.node_name,
            lease_duration=self.lease_duration,
            allow_paths=self.allow_cluster_paths,
        )

    @property
    def images(self) -> ImageConfig:
        """What the Image Manager needs."""
        return ImageConfig(
            cache_dir=self.cache_dir / "agent", image_policy=self.image_policy, registries=self.registries
        )

    @property
    def log(self) -> LogConfig:
        """How to log."""
        return LogConfig(level=self.log_level, format=self.log_format)


OPTIONS: tuple[Option, ...] = tuple(
    Option(name=f.name, default=f.default, **f.metadata) for f in dataclasses.fields(Config)
)
"""Every setting, in the order in which `--help` shows them."""


def as_flags(config: Config) -> tuple[str, ...]:
    """Flags that give exactly this config when nothing else is set; what a parent hands to its child."""
    flags: list[str] = []
    for option in OPTIONS:
        value = getattr(config, option.name)
        if value == option.default:
            continue
        if option.is_switch:
            flags.append(option.flag if value else option.flag.replace("--", "--no-", 1))
            continue
        for item in value if option.many else (value,):
            written = f"{item[0]}={item[1]}" if isinstance(item, tuple) else str(item)
            flags += [option.flag, written]
    return tuple(flags)


def _unknown(file: Mapping[str, Any]) -> list[tuple[str, str]]:
    known = {option.name for option in OPTIONS}
    return [(key, "no such setting") for key in file if key.replace("-", "_") not in known]


def _check_together(config: Config) -> None:
    sockets = [config.agent_socket, config.loader_socket, config.bpfman_socket]
    if len(set(sockets)) != len(sockets):
        raise InvalidConfig((("--agent-socket", "agent, loader and bpfman each need a socket of their own"),))
