"""Names of addresses, as numbers that whole arrays can carry."""

from __future__ import annotations

import ipaddress

import numpy as np
from numpy.typing import NDArray

from conductor.builtin.kit.keys import Slots
from conductor.model.facts import EXTERNAL, Workload
from conductor.ports import Lookup

__all__ = ["EndNames", "is_loopback", "text_of"]

Addresses = NDArray[np.void]
"""16 bytes each, IPv4 as v4-mapped."""
_KNOWN_MAX = 200_000
"""Names remembered before all are forgotten and learnt anew."""


def text_of(address: bytes) -> str:
    """Text of a 16-byte address; a v4-mapped one is shown as IPv4."""
    ip = ipaddress.IPv6Address(address)
    return str(ip.ipv4_mapped or ip)


def is_loopback(addresses: Addresses) -> NDArray[np.bool_]:
    """Tell which are ::1 or in 127.0.0.0/8."""
    octets = np.ascontiguousarray(addresses).view(np.uint8).reshape(-1, 16)
    one = np.frombuffer(ipaddress.IPv6Address("::1").packed, np.uint8)
    mapped = np.frombuffer(ipaddress.IPv6Address("::ffff:127.0.0.0").packed, np.uint8)[:13]
    loopback: NDArray[np.bool_] = (octets == one).all(axis=1) | (octets[:, :13] == mapped).all(axis=1)
    return loopback


class EndNames:
    """Give each workload a number. Unknown addresses are one workload, or with `by_ip` one each."""

    def __init__(self, *, lookup: Lookup, by_ip: bool) -> None:
        self._lookup, self._by_ip = lookup, by_ip
        self._numbers: dict[Workload, int] = {}
        self._known: list[Workload] = []
        self.generation = 0
        """Rises when all numbers are given anew."""

    def numbers(self, addresses: Addresses) -> Slots:
        """Numbers of the workloads behind addresses, asked anew each time: names change hands."""
        if len(self._known) > _KNOWN_MAX:
            self._numbers.clear()
            self._known.clear()
            self.generation += 1
        packed = np.ascontiguousarray(addresses).view("S16")
        unique, back = np.unique(packed, return_inverse=True)
        asked: list[bytes] = unique.view("V16").tolist()
        found = self._lookup.workloads(asked)
        return np.array([self._number(w, a) for w, a in zip(found, asked, strict=True)], np.int64)[back]

    def are_named(self, addresses: Addresses) -> NDArray[np.bool_]:
        """Tell behind which addresses somebody is known to stand."""
        unique, back = np.unique(np.ascontiguousarray(addresses).view("S16"), return_inverse=True)
        found = self._lookup.workloads(unique.view("V16").tolist())
        return np.array([workload is not None for workload in found], np.bool_)[back]

    def workload(self, number: int) -> Workload:
        """Answer the workload of a number."""
        return self._known[number]

    def _number(self, workload: Workload | None, address: bytes) -> int:
        if workload is None:
            workload = Workload(kind=EXTERNAL.kind, name=text_of(address)) if self._by_ip else EXTERNAL
        number = self._numbers.setdefault(workload, len(self._known))
        if number == len(self._known):
            self._known.append(workload)
        return number
