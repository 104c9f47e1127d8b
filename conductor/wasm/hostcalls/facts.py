"""Facts of host and cluster, asked for in arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from conductor.ports import Lookup
from conductor.wasm.memory import GuestMemory, checked_rows

__all__ = ["FactCalls"]


class FactCalls:
    """Look-ups of one instance."""

    __slots__ = ("_lookup", "_memory")

    def __init__(self, *, lookup: Lookup, memory: Callable[[], GuestMemory]) -> None:
        self._lookup, self._memory = lookup, memory

    def lookup_workloads(self, addresses: int, count: int, out: int, room: int) -> int:
        """Tell who stands behind addresses."""
        asked = self._addresses(addresses, count)
        found = self._lookup.workloads(asked)
        texts = ((one.kind, one.namespace, one.name) if one else ("", "", "") for one in found)
        return self._memory().offer(_packed(texts), out, room)

    def lookup_containers(self, cgroup_ids: int, count: int, out: int, room: int) -> int:
        """Tell the containers of cgroups."""
        asked = self._memory().array(cgroup_ids, checked_rows(count), np.uint64)
        found = self._lookup.containers([int(one) for one in asked])
        texts = ((one.id, one.pod_uid) if one else ("", "") for one in found)
        return self._memory().offer(_packed(texts), out, room)

    def lookup_local(self, addresses: int, count: int, out: int) -> int:
        """Tell which addresses are this host's."""
        asked = self._addresses(addresses, count)
        self._memory().at(out, len(asked))
        flags = bytes(self._lookup.is_local(asked))
        self._memory().write(out, flags)
        return sum(flags)

    def _addresses(self, addresses: int, count: int) -> list[bytes]:
        raw = self._memory().read(addresses, 16 * checked_rows(count))
        return [raw[i : i + 16] for i in range(0, len(raw), 16)]


def _packed(rows: Iterable[tuple[str, ...]]) -> bytes:
    parts = bytearray()
    for row in rows:
        for text in row:
            raw = text.encode()
            parts += len(raw).to_bytes(4, "little")
            parts += raw
    return bytes(parts)
