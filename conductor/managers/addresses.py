"""Who stands behind an address: the cluster, this host, the names file; the first that knows answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from conductor.managers.names_file import address_of
from conductor.model.facts import Interface, Workload

__all__ = ["AddressBook"]

_LOOPBACK_V4 = bytes(10) + b"\xff\xff\x7f"
_LOOPBACK_V6 = bytes(15) + b"\x01"


class AddressBook:
    """Own names of addresses. Written on the event loop, read on any thread (each read is one dictionary look-up).

    `cluster` answers what a cluster knows; None without one.
    """

    def __init__(self, *, node: Workload, cluster: Callable[[bytes], Workload | None] | None = None) -> None:
        self._node, self._cluster = node, cluster
        self._own: frozenset[bytes] = frozenset()
        self._named: Mapping[bytes, Workload] = {}

    def workloads(self, addresses: Sequence[bytes]) -> list[Workload | None]:
        """Who stands behind each address; None where nobody knows."""
        return [self._workload(address) for address in addresses]

    def is_local(self, addresses: Sequence[bytes]) -> list[bool]:
        """Whether each address is this host's own."""
        own = self._own
        return [address in own or _is_loopback(address) for address in addresses]

    def own(self, interfaces: Iterable[Interface]) -> bool:
        """Take this host's addresses over; answer whether they are others now."""
        own = frozenset(address_of(address) for interface in interfaces for address in interface.addresses)
        changed, self._own = own != self._own, own
        return changed

    def name(self, names: Mapping[bytes, Workload]) -> None:
        """Take the names file over."""
        self._named = names

    def is_foreign(self, address: bytes) -> bool:
        """Whether it takes others than this host to name an address."""
        return address not in self._own and not _is_loopback(address)

    def _workload(self, address: bytes) -> Workload | None:
        if self._cluster is not None and (found := self._cluster(address)) is not None:
            return found
        if address in self._own or _is_loopback(address):
            return self._node
        return self._named.get(address)


def _is_loopback(address: bytes) -> bool:
    return address[:13] == _LOOPBACK_V4 or address == _LOOPBACK_V6
