"""Kernel programs: what is asked of the kernel half of a tool, and what was seen of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from conductor.model.facts import ContainerProcess
from conductor.model.ids import LinkId, MapId, Name, ProgramId
from conductor.model.labels import Selector

__all__ = [
    "OTHER_NAMESPACE",
    "BuiltinObject",
    "Bytecode",
    "ContainerSelector",
    "Direction",
    "FentryLink",
    "FexitLink",
    "ImageObject",
    "InterfaceSelector",
    "KernelFunctionSpec",
    "KernelFunctionStatus",
    "KernelProgramSpec",
    "KernelType",
    "KprobeLink",
    "Link",
    "LinkStatus",
    "LsmLink",
    "PathObject",
    "PullPolicy",
    "TcLink",
    "TcxLink",
    "TracepointLink",
    "UprobeLink",
    "XdpLink",
]


OTHER_NAMESPACE = (
    "interfaces in another network namespace must be named, as in interfaces: [eth0]: to list them is to enter it, which"
    " takes CAP_SYS_ADMIN that the agent never has, and bpfman's API does not list them"
)
"""Why nothing is discovered there, whoever asks."""


class KernelType(StrEnum):
    """Program types of bpfman's API, spelled as in manifests."""

    XDP = "XDP"
    TC = "TC"
    TCX = "TCX"
    TRACEPOINT = "TracePoint"
    KPROBE = "KProbe"
    KRETPROBE = "KRetProbe"
    UPROBE = "UProbe"
    URETPROBE = "URetProbe"
    FENTRY = "FEntry"
    FEXIT = "FExit"
    LSM = "LSM"


class Direction(StrEnum):
    """Direction of a TC or TCX link, spelled as on bpfman's wire."""

    INGRESS = "ingress"
    EGRESS = "egress"


class PullPolicy(StrEnum):
    """When an image is looked up at its registry."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceSelector:
    """Exactly one of: names, the node's primary interface, discovery."""

    names: tuple[str, ...] = ()
    primary: bool = False
    discover: bool = False
    exclude: tuple[str, ...] = ("lo",)
    allow: tuple[str, ...] = ()
    """Names, or regular expressions written `/re/`; empty allows all that are not excluded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSelector:
    """Containers of this host: those of pods by labels or by UID, or some by their id. What matches any is chosen."""

    pods: Selector | None = None
    """Pods by their labels; an empty selector takes all, None takes none."""
    namespace: str = ""
    """Namespace of `pods`; empty: all of them."""
    container_names: tuple[str, ...] = ()
    """Which containers of `pods`; empty: all."""
    pod_uids: tuple[str, ...] = ()
    container_ids: tuple[str, ...] = ()
    """64 hexadecimal digits each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class XdpLink:
    """XDP through a dispatcher; lower priority runs first. `netns` is a path as the daemon sees it.

    `containers` stands for the network namespaces of what it selects; a link that is attached has `netns` instead.
    """

    interfaces: InterfaceSelector
    priority: int = 1000
    proceed_on: tuple[str, ...] = ("Pass", "DispatcherReturn")
    netns: str | None = None
    containers: ContainerSelector | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TcLink:
    """Classic TC through a dispatcher."""

    interfaces: InterfaceSelector
    direction: Direction
    priority: int = 1000
    proceed_on: tuple[str, ...] = ("Pipe", "DispatcherReturn")
    netns: str | None = None
    containers: ContainerSelector | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TcxLink:
    """TCX (kernel 6.6): a bpf_link without a dispatcher."""

    interfaces: InterfaceSelector
    direction: Direction
    priority: int = 1000
    netns: str | None = None
    containers: ContainerSelector | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TracepointLink:
    """A tracepoint, `group/name`."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KprobeLink:
    """A kernel function (kprobe and kretprobe; a kretprobe's offset is 0)."""

    function: str
    offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class UprobeLink:
    """A user-space function by symbol or file offset in `target` (a path or library name)."""

    target: str
    function: str = ""
    offset: int = 0
    pid: int | None = None
    container_pid: int | None = None
    """Host pid of a process in the container whose mount namespace holds `target`."""
    containers: ContainerSelector | None = None
    """Stands for the files of each container it selects; a link that is attached has `container_pid` instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FentryLink:
    """Attach to the function fixed at load."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FexitLink:
    """Attach to the function fixed at load."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LsmLink:
    """Attach to the hook fixed at load."""


Link = XdpLink | TcLink | TcxLink | TracepointLink | KprobeLink | UprobeLink | FentryLink | FexitLink | LsmLink


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltinObject:
    """The compiled kernel half that a built-in ships."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PathObject:
    """An object file. `digest` (`sha256:…`) is pinned once the file was read; the bytes are then kept by it."""

    path: str
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageObject:
    """An OCI image. Secrets are no part of it: they travel beside a request and are forgotten."""

    url: str
    pull_policy: PullPolicy = PullPolicy.IF_NOT_PRESENT
    pull_secret: str = ""
    digest: str = ""


Bytecode = BuiltinObject | PathObject | ImageObject


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelFunctionSpec:
    """One program of an object: its function name, type and links."""

    name: str
    type: KernelType
    links: tuple[Link, ...] = ()
    attach_to: str = ""
    """Function of fentry/fexit or hook of LSM: fixed at load."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelProgramSpec:
    """The kernel half of a tool: one object, its programs, globals and links. Programs of one spec share maps."""

    name: Name
    bytecode: Bytecode
    programs: tuple[KernelFunctionSpec, ...]
    global_data: Mapping[str, bytes] = field(default_factory=dict)
    map_owner: Name | None = None
    """Another kernel program whose maps of the same names are used."""
    writable_maps: tuple[str, ...] = ()
    """Maps whose pins are 0660 beyond ring buffers and queues."""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStatus:
    """A link that stands. `attach` is from our own record: daemons do not tell."""

    id: LinkId
    attach: Link
    interface: str = ""
    process: ContainerProcess | None = None
    """Whose container it goes into, where the spec selects containers."""
    pod: str = ""
    """That container's pod and name, as in `shop/web-0 (app)`, where a cluster tells of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelFunctionStatus:
    """One loaded program of a kernel program, as last observed."""

    name: str
    type: KernelType
    id: ProgramId
    tag: str = ""
    map_ids: tuple[MapId, ...] = ()
    map_pin_path: str = ""
    links: tuple[LinkStatus, ...] = ()
    run_seconds: float | None = None
    runs: int | None = None
