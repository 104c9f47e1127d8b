"""Proof of leadership that runs out by itself."""

from __future__ import annotations

import asyncio
import time

from conductor.errors import LeadershipLost

__all__ = ["Fence", "now"]


def now() -> float:
    """Answer seconds of the loop's clock, and of sleep: while a machine is suspended its lease passes all the same."""
    return asyncio.get_running_loop().time() + (time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic())


class Fence:
    """Say whether we may still write as the leader; asked right before each send.

    Only the lease moves it, by the moment at which a renewal that was granted had been sent.
    """

    def __init__(self, *, until: float) -> None:
        self._until = until

    def left(self) -> float:
        """Answer seconds for which we lead for certain; none or less: no more."""
        return self._until - now()

    def check(self) -> None:
        """Raises `LeadershipLost` where we may not lead any more."""
        if self.left() <= 0:
            raise LeadershipLost("this agent's lease was not renewed in time: another one may lead")

    def prolong(self, until: float) -> None:
        """Lead until then; never shorter than before, and never again once it has passed."""
        if self.left() > 0:
            self._until = max(self._until, until)

    def close(self) -> None:
        """Lead no more, from now on."""
        self._until = float("-inf")
