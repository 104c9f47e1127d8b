"""What instances leave behind for the next one of their program: records that wait, and where counters stood."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from conductor.model.ids import MapId
from conductor.wasm.streams import Streams

__all__ = ["Kept", "Shelf"]


@dataclass(frozen=True, slots=True)
class Kept:
    """What one instance left. Its records take no more room than its inbox had."""

    streams: Streams
    losses: Mapping[MapId, int] = field(default_factory=dict)
    """What the kernel's counters of losses said last, by map."""


class Shelf:
    """Own what was left, one entry a program. Used by any thread."""

    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}
        self._lock = threading.Lock()

    def put(self, name: str, kept: Kept) -> None:
        """Keep it until the next instance takes it, or the program is forgotten."""
        with self._lock:
            before = self._kept.pop(name, None)
            self._kept[name] = kept
        if before is not None:
            before.streams.end("closed")

    def take(self, name: str) -> Kept | None:
        """Answer what was left, once."""
        with self._lock:
            return self._kept.pop(name, None)

    def losses(self, name: str) -> Mapping[MapId, int]:
        """Answer where the counters stood; it stays."""
        with self._lock:
            kept = self._kept.get(name)
        return kept.losses if kept is not None else {}
