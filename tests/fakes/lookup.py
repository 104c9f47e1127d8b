"""In-memory `ports.Lookup`: what a test puts in is what is known."""

from __future__ import annotations

from collections.abc import Sequence

from conductor.model.facts import Container, Workload

__all__ = ["FakeLookup"]


class FakeLookup:
    """Know these workloads, containers and local addresses, and nothing else."""

    def __init__(self) -> None:
        self.known: dict[bytes, Workload] = {}
        self.cgroups: dict[int, Container] = {}
        self.local: set[bytes] = set()

    def workloads(self, addresses: Sequence[bytes]) -> list[Workload | None]:
        return [self.known.get(address) for address in addresses]

    def containers(self, cgroup_ids: Sequence[int]) -> list[Container | None]:
        return [self.cgroups.get(cgroup_id) for cgroup_id in cgroup_ids]

    def is_local(self, addresses: Sequence[bytes]) -> list[bool]:
        return [address in self.local for address in addresses]

    def is_settled(self) -> bool:
        return True
