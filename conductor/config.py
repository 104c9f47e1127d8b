"""Settings: flags before `CONDUCTOR_*` variables before a TOML file before defaults; parsed once, never changed.

The fields of `Config` are the flags: the command line, the variables and the file take their names, parsers and help
from here. Parts get their slice (`config.road`, `config.loader`, …), never the whole. No I/O and no click in here.
"""
# ruff: noqa: RUF009 - `_setting` only builds a dataclass field

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from conductor.errors import InvalidConfig

__all__ = [
    "OPTIONS",
    "AgentConfig",
    "ClusterConfig",
    "Config",
    "HttpConfig",
    "IdentityConfig",
    "ImageConfig",
    "KeeperConfig",
    "LoaderConfig",
    "LogConfig",
    "Option",
    "RoadConfig",
    "as_flags",
]

Parser = Callable[[object], Any]
RoadMode = Literal["auto", "bpfman", "embedded", "none"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]

_NUMBER_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_YES, _NO = {"1", "true", "yes", "on"}, {"0", "false", "no", "off", ""}
_ACCOUNT = re.compile(r"[a-zA-Z0-9_][-a-zA-Z0-9_.]{0,31}\$?")


# --- parsers: a raw value from any layer becomes a typed one, or ValueError says what is wrong with it -----------------


def _text(raw: object) -> str:
    if not isinstance(raw, str | int | float) or isinstance(raw, bool):
        raise ValueError(f"expected text, got {type(raw).__name__}")  # noqa: TRY004 - one class for all bad values
    if "\0" in str(raw):
        raise ValueError("holds a zero byte")
    return str(raw).strip()


def _one_of(*allowed: str) -> Parser:
    def parse(raw: object) -> str:
        word = _text(raw).lower()
        if word not in allowed:
            raise ValueError(f"{word!r} is none of {', '.join(allowed)}")
        return word

    return parse


def _flag(raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    word = _text(raw).lower()
    if word not in _YES | _NO:
        raise ValueError(f"{word!r} is neither true nor false")
    return word in _YES


def _path(raw: object) -> Path:
    path = Path(_text(raw))
    if not path.is_absolute():
        raise ValueError(f"{str(path)!r} is no absolute path")
    return path


def _socket(raw: object) -> Path:
    path = _path(raw)
    if len(str(path).encode()) > 107:
        raise ValueError("a socket's path has at most 107 bytes; choose a shorter one")
    return path


def _maybe_path(raw: object) -> Path | None:
    return _path(raw) if raw not in (None, "") else None


def _items(raw: object) -> Sequence[object]:
    """Split what variables write as `a,b`, flags as `--x a --x b`, and TOML as a list."""
    if isinstance(raw, list | tuple):
        return raw
    return [item for item in _text(raw).split(",") if item]


def _paths(raw: object) -> tuple[Path, ...]:
    return tuple(_path(item) for item in _items(raw))


def _prefixes(raw: object) -> tuple[tuple[Path, Path], ...]:
    pairs = []
    for item in _items(raw):
        here, equals, there = _text(item).partition("=")
        if not equals:
            raise ValueError(f"{item!r} is not written FROM=TO")
        pairs.append((_path(here), _path(there)))
    return tuple(pairs)


def _account(raw: object) -> str:
    name = _text(raw)
    if not _ACCOUNT.fullmatch(name):
        raise ValueError(f"{name!r} is neither a name nor a number")
    return name


def _maybe_account(raw: object) -> str:
    return _account(raw) if raw != "" else ""


def _user(raw: object) -> str:
    user, colon, group = _text(raw).partition(":")
    return _account(user) + (f":{_account(group)}" if colon else "")


def _accounts(raw: object) -> tuple[str, ...]:
    return tuple(_account(item) for item in _items(raw))


def _address(raw: object) -> str:
    text = _text(raw)
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not port.isdecimal() or int(port) > 65535 or (":" in host and not bracketed):
        raise ValueError(f"{text!r} is not written HOST:PORT, :PORT or [IPV6]:PORT")
    return text


def _seconds(raw: object) -> float:
    text = _text(raw)
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)?", text)
    if not found or not 0 < (seconds := float(found[1]) * _NUMBER_UNITS[found[2] or "s"]) <= 86_400:
        raise ValueError(f"{text!r} is no duration such as 15s or 1m")
    return seconds


# --- the options -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One setting as the doors show it; `name` is the field, `flag` and `variable` follow from it."""

    name: str
    parse: Parser
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
    parse: Parser, default: Any, help_: str, metavar: str = "", *, many: bool = False, secret: bool = False
) -> Any:
    meta = {"parse": parse, "help": help_, "metavar": metavar, "many": many}
    return field(default=default, repr=not secret, metadata=meta)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every setting, checked. Paths that may lead to credentials are left out of `repr`."""

    kernel: RoadMode = _setting(
        _one_of("auto", "bpfman", "embedded", "none"), "auto", "Road to the kernel.", "auto|bpfman|embedded|none"
    )
    agent_socket: Path = _setting(
        _socket, Path("/run/ebpfconductor/agent.sock"), "Socket that the agent serves (0660).", "PATH"
    )
    loader_socket: Path = _setting(
        _socket, Path("/run/ebpfconductor/loader.sock"), "Socket that the loader serves.", "PATH"
    )
    bpfman_socket: Path = _setting(_socket, Path("/run/bpfman-sock/bpfman.sock"), "Socket of a real bpfman.", "PATH")
    bpffs: Path = _setting(_path, Path("/run/ebpfconductor/bpf"), "Where the loader keeps its pins.", "DIR")
    state_dir: Path = _setting(_path, Path("/var/lib/ebpfconductor"), "What must survive a restart.", "DIR")
    cache_dir: Path = _setting(_path, Path("/var/cache/ebpfconductor"), "What may be made again.", "DIR")
    http_address: str = _setting(
        _address, "127.0.0.1:8080", "Where /metrics, /healthz, /readyz and the page are served.", "HOST:PORT"
    )
    node_name: str = _setting(_text, "", "Name of this node; default: the host's name.", "NAME")
    namespace: str = _setting(_text, "", "Namespace of our Lease, revisions and pull secrets.", "NAME")
    kubeconfig: Path | None = _setting(
        _maybe_path, None, "Use the cluster of this file; inside a pod the pod's own.", "FILE", secret=True
    )
    user: str = _setting(_user, "65532", "Who the agent becomes when started as root: USER[:GROUP].", "USER")
    groups: tuple[str, ...] = _setting(_accounts, (), "Supplementary groups of the agent.", "GROUP", many=True)
    allow_uid0: bool = _setting(
        _flag, False, "Let the agent stay uid 0: no capability, but root's files, which is no boundary."
    )
    read_group: str = _setting(
        _maybe_account, "", "Group that may look; default: the agent's user and root alone.", "GROUP"
    )
    change_group: str = _setting(
        _maybe_account, "", "Group that may load and unload; default: the agent's user and root alone.", "GROUP"
    )
    names: Path | None = _setting(_maybe_path, None, "File of names for IP addresses (no cluster needed).", "FILE")
    lease_duration: float = _setting(_seconds, 15.0, "How long leadership lasts unrenewed.", "DURATION")
    image_policy: Path | None = _setting(_maybe_path, None, "Which images must be signed, and by whom.", "FILE")
    registries: Path | None = _setting(
        _maybe_path, None, "Mirrors, certificates and credentials of registries.", "FILE", secret=True
    )
    log_level: LogLevel = _setting(
        _one_of("debug", "info", "warning", "error"), "info", "Least severity that is logged.", "LEVEL"
    )
    log_format: LogFormat = _setting(_one_of("text", "json"), "text", "Form of log lines.", "text|json")
    apply: tuple[Path, ...] = _setting(_paths, (), "Manifests that the agent keeps applied.", "FILE", many=True)
    stats: bool = _setting(_flag, True, "Let the loader have the kernel count run time of programs.")
    pin_prefix: tuple[tuple[Path, Path], ...] = _setting(
        _prefixes, (), "The daemon's path prefix FROM is TO as the agent sees it.", "FROM=TO", many=True
    )
    keep: bool = _setting(_flag, False, "Leave kernel programs attached when `conductor up` ends.")

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
        return IdentityConfig(user=self.user, groups=self.groups, allow_uid0=self.allow_uid0)

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
            kubeconfig=self.kubeconfig,
            namespace=self.namespace,
            node_name=self.node_name,
            lease_duration=self.lease_duration,
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


# --- slices ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RoadConfig:
    """The one road to the kernel."""

    mode: RoadMode
    bpfman_socket: Path
    loader_socket: Path
    bpffs: Path
    pin_prefix: tuple[tuple[Path, Path], ...]


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

    kubeconfig: Path | None = field(repr=False)
    namespace: str
    node_name: str
    lease_duration: float
    """Seconds."""


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
