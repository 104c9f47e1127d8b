"""Shared facts about addresses, containers and interfaces, as the Cache Manager answers them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = [
    "EXTERNAL",
    "Claim",
    "Container",
    "ContainerProcess",
    "HostFacts",
    "Interface",
    "NodePods",
    "Owner",
    "Pod",
    "Workload",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Who stands behind an address: top workload, Service, Node, Host (names file) or External."""

    kind: str
    name: str
    namespace: str = ""


EXTERNAL = Workload(kind="External", name="external")
"""An address that nobody here knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The controller of a pod whose own controller has to be asked for."""

    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What an object of a cluster says about addresses: who stands behind them, since when."""

    addresses: tuple[bytes, ...]
    """16 bytes each, IPv4 as v4-mapped."""
    workload: Workload
    """The top one; where `asks` is there, the one below it."""
    asks: Owner | None = None
    since: int = 0
    """Unix seconds at which the object was made: of two that claim an address the later one has it."""
    leaving: bool = False
    """It is being deleted: another one that claims its addresses has them."""
    host: Claim | None = None
    """Whose machine it runs on: the node, by its own addresses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod of this node."""

    namespace: str
    name: str
    uids: tuple[str, ...]
    """Its UID; for a static pod also the one by which its cgroups are named."""
    claim: Claim
    labels: Mapping[str, str] = field(default_factory=dict)
    containers: Mapping[str, str] = field(default_factory=dict)
    """Names by container id, of 64 hexadecimal digits."""
    host_network: bool = False
    """It has the network namespace of its node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePods:
    """The pods of this node, as a cluster tells of them; what it told last, while it is away."""

    pods: tuple[Pod, ...] = ()
    reason: str = ""
    """Why none is known, in CamelCase; empty: they are known."""
    problem: str = ""
    """The same as a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container by its cgroup."""

    id: str
    cgroup_id: int
    pod_uid: str = ""
    path: str = ""
    name: str = ""
    """Its name in the pod; empty where no cluster tells, as the next three."""
    pod: str = ""
    namespace: str = ""
    workload: Workload | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerProcess:
    """The oldest process of a container: by it a daemon reaches the container's files and network namespace."""

    container: str
    pid: int
    """As this process and the daemon see it."""
    started: int
    """Clock ticks from boot to its start: tells it from a later process of the same number."""
    pod_uid: str = ""
    host_network: bool = False
    """It is in the network namespace of the host's first process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """A network interface of one network namespace."""

    index: int
    name: str
    up: bool
    primary: bool = False
    """It carries the default route."""
    addresses: tuple[str, ...] = ()
    """Addresses in text form, without prefix length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """The machine the agent runs on."""

    node: str
    kernel: str = ""
    machine: str = ""
    cpus: int = 1
    memory_bytes: int = 0
