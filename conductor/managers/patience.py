"""When one life may try again after failures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from conductor.errors import ConductorError
from conductor.plan.backoff import delay

__all__ = ["Patience"]

HOPELESS_SECONDS = 300.0
"""Between tries of what time alone cannot heal."""


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
        pause = delay(self._failures, self._jitter())
        if isinstance(failure, ConductorError) and not failure.retry:
            pause = HOPELESS_SECONDS
        self._until = asyncio.get_running_loop().time() + pause
        return pause

    def left(self) -> float:
        """Seconds until the next try; 0 when it may be now."""
        return max(0.0, self._until - asyncio.get_running_loop().time())
