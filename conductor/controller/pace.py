"""How fast the controller writes: so many changes and bytes a second, whatever there is to do."""

from __future__ import annotations

import asyncio

from conductor.controller.counts import ControllerCounts

__all__ = ["Pace"]


class Bucket:
    """Tokens that come at a rate, up to what one second brings."""

    def __init__(self, rate: float) -> None:
        self._rate, self._level, self._at = rate, rate, 0.0

    def taken(self, amount: float, now: float) -> float:
        """Take so many; answers for how many seconds to wait before they are really there."""
        self._level = min(self._rate, self._level + (now - self._at) * self._rate)
        self._at = now
        self._level -= amount
        return max(0.0, -self._level / self._rate)


class Pace:
    """Hold writes back so that an API server has room for others; who came first goes first."""

    def __init__(
        self, *, counts: ControllerCounts, writes_per_second: float = 50.0, bytes_per_second: float = 1 << 20
    ) -> None:
        self._counts = counts
        self._writes, self._bytes = Bucket(writes_per_second), Bucket(bytes_per_second)

    async def spend(self, size: int) -> None:
        """Wait until one write of so many bytes may go."""
        now = asyncio.get_running_loop().time()
        wait = max(self._writes.taken(1, now), self._bytes.taken(size, now))
        self._counts.write_bytes += size
        if wait > 0:
            self._counts.paced_seconds += wait
            await asyncio.sleep(wait)
