"""When one life may try again after failures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from conductor.plan.backoff import HOPELESS_SECONDS, pause_after

__all__ = ["HOPELESS_SECONDS", "Patience"]


class Patience:
    """Own the back-off of one program."""

    def __init__(self, *, jitter: Callable[[], float]) -> None:
        self._jitter = jitter
        self._failures = 0
        self._until = 0.0

    def forget(self) -> None:
        """Be ready to try at once."""
        self._failures, self._until = 0, 0.0

    def fail(self, failure: Exception, failures: int | None = None) -> float:
        """Count a failure (or take the count of someone who knows better); answer how long to wait."""
        self._failures = self._failures + 1 if failures is None else failures
        pause = pause_after(failure, self._failures, self._jitter())
        self._until = asyncio.get_running_loop().time() + pause
        return pause

    def left(self) -> float:
        """Seconds until the next try; 0 when it may be now."""
        return max(0.0, self._until - asyncio.get_running_loop().time())
