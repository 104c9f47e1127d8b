"""Who stands behind an address: layers of facts, the first that knows answers."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence

from conductor.managers.names_file import address_of
from conductor.model.facts import Interface, Workload

__all__ = ["AddressBook"]

MOST = 200_000
"""Addresses that one learned layer may hold."""
_LOOPBACK_V4 = bytes(10) + b"\xff\xff\x7f"
_LOOPBACK_V6 = bytes(15) + b"\x01"


class AddressBook:
    """Own names of addresses. Written on the event loop, read on any thread (each read is one dictionary look-up).

    Order: what was learned (Kubernetes later), this host's own addresses, the names file.
    """

    def __init__(self, *, node: Workload, most: int = MOST) -> None:
        self._node, self._most = node, most
        self._learned: dict[str, dict[bytes, Workload]] = {}
        self._own: frozenset[bytes] = frozenset()
        self._named: Mapping[bytes, Workload] = {}
        self._lock = threading.Lock()
        self.evicted = 0

    def workloads(self, addresses: Sequence[bytes]) -> list[Workload | None]:
        """Who stands behind each address; None where nobody knows."""
        learned = tuple(self._learned.values())
        return [self._workload(address, learned) for address in addresses]

    def is_local(self, addresses: Sequence[bytes]) -> list[bool]:
        """Whether each address is this host's own."""
        own = self._own
        return [address in own or _is_loopback(address) for address in addresses]

    def learn(self, layer: str, facts: Mapping[bytes, Workload | None]) -> None:
        """Take facts of a layer over; None forgets an address. A full layer forgets what it learned first."""
        with self._lock:
            known = dict(self._learned.get(layer, {}))
            for address, workload in facts.items():
                known.pop(address, None)
                if workload is not None:
                    known[address] = workload
            for address in list(known)[: max(0, len(known) - self._most)]:
                del known[address]
                self.evicted += 1
            self._learned = {**self._learned, layer: known}

    def own(self, interfaces: Iterable[Interface]) -> bool:
        """Take this host's addresses over; answer whether they are others now."""
        own = frozenset(address_of(address) for interface in interfaces for address in interface.addresses)
        changed, self._own = own != self._own, own
        return changed

    def name(self, names: Mapping[bytes, Workload]) -> None:
        """Take the names file over."""
        self._named = names

    def _workload(self, address: bytes, learned: tuple[dict[bytes, Workload], ...]) -> Workload | None:
        for layer in learned:
            if (found := layer.get(address)) is not None:
                return found
        if address in self._own or _is_loopback(address):
            return self._node
        return self._named.get(address)


def _is_loopback(address: bytes) -> bool:
    return address[:13] == _LOOPBACK_V4 or address == _LOOPBACK_V6
