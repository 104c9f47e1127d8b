"""The one road to the kernel, and what links are made to: interfaces, containers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from conductor.model.facts import ContainerProcess, Interface, NodePods
from conductor.model.ids import LinkId, ProgramId
from conductor.model.kernel import ContainerSelector, KernelFunctionSpec, KernelType, Link

__all__ = ["Containers", "InterfaceSource", "Kernel", "KernelLoad", "KernelLoaded", "PodSource", "RoadStatus"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoadStatus:
    """What stands at the other end of the road."""

    road: str
    """`bpfman`, `embedded` or `none`."""
    flavour: str = ""
    """`loader`, `bpfman-rust`, `bpfman-go`; empty while nobody answers."""
    version: str = ""
    connected: bool = False
    problem: str = ""
    kernel_enforces_grants: bool = False
    lists_what_stands: bool = False
    """Whether a link that is listed stands: bpfman's daemons write one down before they attach it, and may be killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelLoad:
    """One Load: an object with its programs. `path` is a verified file that the daemon can read."""

    path: str
    programs: tuple[KernelFunctionSpec, ...]
    global_data: Mapping[str, bytes] = field(default_factory=dict)
    map_owner: ProgramId | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelLoaded:
    """One loaded program as the daemon lists it."""

    id: ProgramId
    name: str
    type: KernelType | None
    """None where the daemon's numbering does not tell."""
    tag: str = ""
    map_ids: tuple[int, ...] = ()
    map_pin_path: str = ""
    links: tuple[LinkId, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


class Kernel(Protocol):
    """The one road to the kernel (bpfman or our loader). Every call has a deadline of its own.

    Raises `KernelAway` when nobody answers, `KernelRefused`/`VerifierRejected`/`InvalidSpec`/`NotFound` as answered.
    """

    @property
    def status(self) -> RoadStatus: ...
    async def loaded(self, match: Mapping[str, str]) -> tuple[KernelLoaded, ...]:
        """List what the daemon holds with exactly these metadata, links included."""
        ...

    async def unmanaged(self) -> tuple[KernelLoaded, ...] | None:
        """List what the kernel runs and the daemon does not hold; None where the daemon does not tell."""
        ...

    async def load(self, load: KernelLoad) -> tuple[KernelLoaded, ...]: ...
    async def attach(self, program: ProgramId, type_: KernelType, link: Link, interface: str) -> LinkId: ...
    async def detach(self, link: LinkId) -> None: ...
    async def unload(self, program: ProgramId) -> None: ...
    async def run_stats(self) -> Mapping[ProgramId, tuple[float, int]] | None:
        """Seconds run and number of runs by program; None where nobody serves them."""
        ...

    def connection(self) -> AsyncIterator[RoadStatus]:
        """Tell every change of `status`, the present one first; runs for ever."""
        ...


class InterfaceSource(Protocol):
    """Interfaces of this network namespace."""

    async def interfaces(self) -> tuple[Interface, ...]: ...
    def changes(self) -> AsyncIterator[None]:
        """Tell that something changed; runs for ever."""
        ...


class Containers(Protocol):
    """Processes of this host's containers: by its process a daemon reaches a container's files and network namespace."""

    async def processes(self, wanted: Collection[ContainerSelector]) -> tuple[ContainerProcess, ...]:
        """Find the oldest process of each container that any of these selects by UID or id.

        What is asked here is watched from now on.

        Raises `NotSupported` where this host does not show its containers.
        """
        ...

    def lives(self, process: ContainerProcess) -> bool:
        """Tell whether that very process lives, and not a later one of the same number."""
        ...

    def changes(self) -> AsyncIterator[None]:
        """Tell that `processes` would answer otherwise now; runs for ever."""
        ...


class PodSource(Protocol):
    """The pods of this node, whose labels selectors are about."""

    def seen(self) -> NodePods:
        """Answer what is known now."""
        ...

    def changes(self) -> AsyncIterator[None]:
        """Tell that `seen` answers otherwise now; runs for ever."""
        ...
