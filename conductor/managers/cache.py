"""The Cache Manager: shared facts for programs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from conductor.managers.bus import Bus
from conductor.model.facts import Container, Workload
from conductor.ports import InterfaceSource

__all__ = ["CacheManager"]


class CacheManager:
    """Own facts about addresses, containers, interfaces and the host (ports.Lookup); answers on any thread."""

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        *,
        interfaces: InterfaceSource,
        node_name: str,
        names_file: Path | None = None,
        bus: Bus | None = None,
        cgroup_root: Path = Path("/sys/fs/cgroup"),
    ) -> AsyncIterator[Self]:
        """Learn facts until the scope ends."""
        raise NotImplementedError
        yield

    def workloads(self, addresses: Sequence[bytes]) -> list[Workload | None]:
        """Who stands behind each address (16 bytes each, IPv4 as v4-mapped)."""
        raise NotImplementedError

    def containers(self, cgroup_ids: Sequence[int]) -> list[Container | None]:
        """Which container each cgroup id is."""
        raise NotImplementedError

    def is_local(self, addresses: Sequence[bytes]) -> list[bool]:
        """Whether each address belongs to an interface of this host."""
        raise NotImplementedError

    def learn(self, layer: str, facts: Mapping[bytes, Workload | None]) -> None:
        """Put facts of a layer (`kubernetes`) above those of the machine; None forgets an address."""
        raise NotImplementedError

    def problems(self) -> tuple[str, ...]:
        """A line per thing amiss: bad lines of the names file, what had to be evicted."""
        raise NotImplementedError
