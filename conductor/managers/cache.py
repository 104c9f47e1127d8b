"""The Cache Manager: shared facts for programs."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from conductor.errors import ConductorError
from conductor.managers.addresses import AddressBook
from conductor.managers.bus import Bus
from conductor.managers.cgroups import CgroupWalk, v2_root, walk
from conductor.managers.kernel_tasks import beside
from conductor.managers.names_file import NamesFile
from conductor.model.events import Event, FactsChanged, InterfacesChanged
from conductor.model.facts import Container, HostFacts, Interface, Workload
from conductor.ports import ClusterFacts, InterfaceSource

if TYPE_CHECKING:
    from conductor.managers.cluster_cache import ClusterCache

__all__ = ["CacheManager"]

NAMES_SECONDS = 2.0
RESYNC_SECONDS = 30.0
"""Between looks at everything, whatever was told."""
MISS_SECONDS = 2.0
"""Between walks of the cgroup tree because someone asked for a cgroup that was not seen yet."""
MOST_WANTED = 10_000
log = logging.getLogger(__name__)


class CacheManager:
    """Own facts about addresses, containers, interfaces and the host (ports.Lookup); answers on any thread."""

    def __init__(
        self,
        *,
        interfaces: InterfaceSource,
        node_name: str,
        names_file: Path | None,
        bus: Bus | None,
        cgroup_mount: Path,
        resync: float,
        cluster: ClusterCache | None = None,
    ) -> None:
        self._source, self._bus, self._resync = interfaces, bus, resync
        self.cluster = cluster
        """What a cluster tells; None without one."""
        known = cluster.workload if cluster else None
        self._addresses = AddressBook(node=Workload(kind="Node", name=node_name), cluster=known)
        self._names = NamesFile(names_file) if names_file else None
        self._cgroup_mount = cgroup_mount
        self._walk = CgroupWalk()
        self._missed = asyncio.Event()
        self._wanted: set[int] = set()
        self._absent: frozenset[int] = frozenset()
        """Ids that were asked for, looked for and not found: not looked for again until the next round."""
        self._loop = asyncio.get_running_loop()
        self._interfaces: tuple[Interface, ...] = ()
        self._interface_problem = ""
        self.host = HostFacts(node=node_name)

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        *,
        interfaces: InterfaceSource,
        node_name: str,
        names_file: Path | None = None,
        bus: Bus | None = None,
        cgroup_mount: Path = Path("/sys/fs/cgroup"),
        resync: float = RESYNC_SECONDS,
        facts: ClusterFacts | None = None,
    ) -> AsyncIterator[Self]:
        """Know the facts of this machine while the body runs; they were looked at once before it begins.

        With `facts` those of a cluster too, as they come: nobody waits for an API server.
        """
        async with AsyncExitStack() as stack:
            cluster = None
            if facts is not None:
                from conductor.managers.cluster_cache import ClusterCache  # noqa: PLC0415 - most agents need none

                cluster = await stack.enter_async_context(ClusterCache.running(facts=facts, publish=_teller(bus)))
            self = cls(
                interfaces=interfaces,
                node_name=node_name,
                names_file=names_file,
                bus=bus,
                cgroup_mount=cgroup_mount,
                resync=resync,
                cluster=cluster,
            )
            await self._look_at_all()
            await stack.enter_async_context(self._looking())
            yield self

    @asynccontextmanager
    async def _looking(self) -> AsyncIterator[None]:
        work = {
            "facts: interfaces": self._watch_interfaces(),
            "facts: all": self._look_again(),
            "facts: names": self._watch_names(),
            "facts: cgroups": self._watch_misses(),
        }
        async with beside(work):
            yield

    # --- ports.Lookup ---------------------------------------------------------------------------------------------

    def workloads(self, addresses: Sequence[bytes]) -> list[Workload | None]:
        """Who stands behind each address (16 bytes each, IPv4 as v4-mapped); None where nobody knows."""
        if self.cluster is not None and any(map(self._addresses.is_foreign, addresses)):
            self.cluster.want()
        return self._addresses.workloads(addresses)

    def is_local(self, addresses: Sequence[bytes]) -> list[bool]:
        """Whether each address belongs to an interface of this host."""
        return self._addresses.is_local(addresses)

    def is_settled(self) -> bool:
        """Whether who has no name now has none: nobody waits for a cluster's names."""
        return self.cluster is None or self.cluster.is_settled()

    def containers(self, cgroup_ids: Sequence[int]) -> list[Container | None]:
        """Which container each cgroup id is; an id never seen before is looked for soon."""
        seen = self._walk
        found = [seen.containers.get(cgroup_id) for cgroup_id in cgroup_ids]
        if self.cluster is not None:
            found = [container and self.cluster.named(container) for container in found]
        unknown = [one for one in cgroup_ids if one not in seen.seen and one not in self._absent]
        if unknown and len(self._wanted) < MOST_WANTED:
            self._wanted.update(unknown)
            with suppress(RuntimeError):  # the loop is closed: the agent is going
                self._loop.call_soon_threadsafe(self._missed.set)
        return found

    # --- for the agent --------------------------------------------------------------------------------------------

    def interfaces(self) -> tuple[Interface, ...]:
        """Interfaces of this host as last seen."""
        return self._interfaces

    def problems(self) -> tuple[str, ...]:
        """A line per thing amiss: bad lines of the names file, a tree too large, no answer about interfaces."""
        lines = list(self._names.problems) if self._names else []
        if self._walk.cut_short:
            lines.append(f"there are more cgroups than the {len(self._walk.seen)} that are looked at")
        if self._interface_problem:
            lines.append(f"interfaces could not be read: {self._interface_problem}")
        return (*lines, *(self.cluster.problems() if self.cluster else ()))

    # --- looking --------------------------------------------------------------------------------------------------

    async def _look_at_all(self) -> None:
        self.host = await asyncio.to_thread(_host, self.host.node)
        await self._look_at_interfaces()
        await self._look_at_names()
        await self._look_at_cgroups()

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(self._resync)
            await self._look_at_interfaces()
            await self._look_at_cgroups()
            self._absent = frozenset()

    async def _watch_interfaces(self) -> None:
        while True:
            try:
                async for _ in self._source.changes():
                    await self._look_at_interfaces()
            except ConductorError as exc:
                self._interface_problem = str(exc)
            await asyncio.sleep(self._resync)

    async def _watch_names(self) -> None:
        while True:
            await asyncio.sleep(NAMES_SECONDS)
            await self._look_at_names()

    async def _watch_misses(self) -> None:
        while True:
            await self._missed.wait()
            self._missed.clear()
            wanted, self._wanted = self._wanted, set()
            await self._look_at_cgroups()
            self._absent = frozenset(sorted((self._absent | wanted) - self._walk.seen)[:MOST_WANTED])
            await asyncio.sleep(MISS_SECONDS)

    async def _look_at_interfaces(self) -> None:
        try:
            interfaces = await self._source.interfaces()
        except ConductorError as exc:
            self._interface_problem = str(exc)
            return
        self._interface_problem = ""
        if interfaces != self._interfaces:
            self._interfaces = interfaces
            await self._publish(InterfacesChanged())
        if self._addresses.own(interfaces):
            await self._publish(FactsChanged())

    async def _look_at_names(self) -> None:
        if self._names is None or not await asyncio.to_thread(self._names.refresh):
            return
        self._addresses.name(self._names.names)
        for problem in self._names.problems:
            log.warning("%s", problem)
        await self._publish(FactsChanged())

    async def _look_at_cgroups(self) -> None:
        found = await asyncio.to_thread(_walk, self._cgroup_mount)
        changed = found.containers.keys() != self._walk.containers.keys()
        self._walk = found
        if changed:
            await self._publish(FactsChanged())

    async def _publish(self, event: Event) -> None:
        if self._bus is not None:
            await self._bus.publish(event)


def _walk(mount: Path) -> CgroupWalk:
    root = v2_root(mount)
    return CgroupWalk() if root is None else walk(root)


def _host(node: str) -> HostFacts:
    uname = os.uname()
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return HostFacts(
        node=node, kernel=uname.release, machine=uname.machine, cpus=os.cpu_count() or 1, memory_bytes=pages
    )


def _teller(bus: Bus | None) -> Callable[[], Awaitable[None]]:
    """Tell on the bus, where there is one, that facts changed."""

    async def tell() -> None:
        if bus is not None:
            await bus.publish(FactsChanged())

    return tell
