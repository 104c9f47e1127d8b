"""Budgets as arithmetic: a bucket that refills, and the CPU clock of one call."""

from __future__ import annotations

import time

__all__ = ["Bucket", "CallMeter"]


class Bucket:
    """So much per second, so much at once; spending below zero is a debt that time pays."""

    __slots__ = ("_burst", "_filled", "_left", "_rate")

    def __init__(self, *, rate: float, burst: float) -> None:
        self._rate, self._burst, self._left, self._filled = rate, burst, burst, time.monotonic()

    def left(self) -> float:
        """What may be spent now."""
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._filled) * self._rate)
        self._filled = now
        return self._left

    def spend(self, amount: float) -> None:
        """Take from it, into debt if need be."""
        self._left = self.left() - amount

    def wait(self) -> float:
        """Seconds until a debt is paid; 0 without one."""
        return max(0.0, -self.left() / self._rate) if self._rate > 0 else 3600.0


class CallMeter:
    """CPU of the running call by the thread's own clock, and a generous limit on the wall."""

    __slots__ = ("_cpu_end", "_cpu_start", "_wall_end", "hurried")

    def __init__(self) -> None:
        self._cpu_start = self._cpu_end = self._wall_end = 0.0
        self.hurried = False
        """Somebody wants the instance gone: end at the next look."""

    def start(self, *, cpu: float, wall: float) -> None:
        """Begin a call on this thread."""
        self._cpu_start = time.thread_time()
        self._cpu_end = self._cpu_start + cpu
        self._wall_end = time.monotonic() + wall

    def spent(self) -> float:
        """CPU seconds of this thread since the call began."""
        return time.thread_time() - self._cpu_start

    def wall_left(self) -> float:
        """Seconds of wall time that are left."""
        return 0.0 if self.hurried else self._wall_end - time.monotonic()

    def verdict(self) -> str:
        """Say what is used up; empty while all is well."""
        if self.hurried:
            return "it was told to end and did not return"
        if time.thread_time() > self._cpu_end:
            return f"one call took more than {self._cpu_end - self._cpu_start:g} s of CPU (limit cpuCall)"
        if time.monotonic() > self._wall_end:
            return "one call did not return in time"
        return ""
