"""Shared facts about addresses, containers and interfaces, as the Cache Manager answers them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EXTERNAL", "Container", "ContainerProcess", "HostFacts", "Interface", "Workload"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Who stands behind an address: top workload, Service, Node, Host (names file) or External."""

    kind: str
    name: str
    namespace: str = ""


EXTERNAL = Workload(kind="External", name="external")
"""An address that nobody here knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container by its cgroup."""

    id: str
    cgroup_id: int
    pod_uid: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerProcess:
    """The oldest process of a container: by it a daemon reaches the container's files and network namespace."""

    container: str
    pid: int
    """As this process and the daemon see it."""
    started: int
    """Clock ticks from boot to its start: tells it from a later process of the same number."""
    pod_uid: str = ""


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
