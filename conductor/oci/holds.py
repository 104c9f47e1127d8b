"""Which images may not be evicted: those that somebody holds, that wishes name, that were asked for a moment ago."""

from __future__ import annotations

import time
from collections.abc import Collection

__all__ = ["Holds"]


class Holds:
    """Remember who needs which digest. Not thread-safe: the store's lock guards it."""

    def __init__(self, *, grace: float) -> None:
        self._grace = grace
        self._holders: dict[str, set[str]] = {}
        self._retained: frozenset[str] = frozenset()
        self._recent: dict[str, float] = {}

    def hold(self, digest: str, holder: str) -> None:
        """Let `holder` need it."""
        self._holders.setdefault(digest, set()).add(holder)

    def release(self, digest: str, holder: str) -> None:
        """Let `holder` need it no more; one that did not is fine."""
        holders = self._holders.get(digest, set())
        holders.discard(holder)
        if not holders:
            self._holders.pop(digest, None)

    def retain(self, digests: Collection[str]) -> None:
        """Replace what is needed beside that."""
        self._retained = frozenset(digests)

    def touch(self, digest: str) -> None:
        """Spare it from now on for the grace: whoever asked for it is about to hold it."""
        self._recent[digest] = time.monotonic()

    def forget(self, digest: str) -> None:
        """Spare it no more for having been asked for."""
        self._recent.pop(digest, None)

    def is_held(self, digest: str) -> bool:
        """Tell whether somebody needs it."""
        return digest in self._holders or digest in self._retained

    def is_spared(self, digest: str) -> bool:
        """Tell whether no eviction may touch it."""
        recent = self._recent.get(digest)
        if recent is not None and time.monotonic() - recent >= self._grace:
            del self._recent[digest]
            recent = None
        return recent is not None or self.is_held(digest)
