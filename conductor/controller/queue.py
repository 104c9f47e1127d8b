"""Keys that are to be looked at, each once, and when."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable

from conductor.controller.counts import ControllerCounts
from conductor.model.fleet import FleetKey
from conductor.plan.backoff import delay

__all__ = ["KeyQueue"]

GATHER = 0.05
"""Seconds for which what comes together is awaited: both halves of a change are one write then."""


class KeyQueue:
    """Hold keys until they are due. It holds no more keys than there are objects."""

    def __init__(self, *, counts: ControllerCounts) -> None:
        self._counts = counts
        self._due: dict[FleetKey, float] = {}
        self._failures: dict[FleetKey, int] = {}
        self._changed = asyncio.Event()

    def add(self, keys: Iterable[FleetKey], *, after: float = 0.0) -> None:
        """Have keys looked at, so many seconds from now or sooner."""
        due = asyncio.get_running_loop().time() + after
        for key in keys:
            self._due[key] = min(due, self._due.get(key, due))
            self._changed.set()
        self._counts.queued = len(self._due)

    def failed(self, key: FleetKey) -> None:
        """Have a key looked at again, later each time."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        self.add([key], after=delay(failures, random.random()))  # noqa: S311 - spread, not secrecy

    def done(self, key: FleetKey) -> None:
        """Forget how often a key failed."""
        self._failures.pop(key, None)

    async def batch(self) -> set[FleetKey]:
        """Wait for keys that are due, and for those that come with them."""
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            first = min(self._due.values(), default=None)
            if first is not None and first <= loop.time():
                break
            await self._wait(None if first is None else first - loop.time())
        await asyncio.sleep(GATHER)
        now = loop.time()
        found = {key for key, due in self._due.items() if due <= now}
        for key in found:
            del self._due[key]
        self._counts.queued = len(self._due)
        return found

    async def _wait(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass
