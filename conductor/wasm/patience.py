"""How long a program may be over its CPU budget per second."""

from __future__ import annotations

import time

from conductor.errors import BudgetExceeded
from conductor.model.program import Limits
from conductor.wasm.meter import Bucket

__all__ = ["Patience"]


class Patience:
    """How long an instance may be over its budget per second: throttled at first, then given up."""

    def __init__(self, *, limits: Limits, seconds: float) -> None:
        self._bucket = Bucket(rate=limits.cpu, burst=max(limits.cpu_call, 10 * limits.cpu))
        self._seconds = seconds
        self._since: float | None = None
        self._cpu = limits.cpu

    def spend(self, cpu: float) -> None:
        """Take what a call cost."""
        self._bucket.spend(cpu)

    def wait(self) -> float:
        """Seconds until it may run again."""
        return self._bucket.wait()

    def note(self, *, throttled: bool) -> None:
        """Remember since when it is throttled without a break."""
        if not throttled:
            self._since = None
        elif self._since is None:
            self._since = time.monotonic()

    def check(self) -> None:
        """Raise `BudgetExceeded` when it has been throttled for too long."""
        if self._since is not None and time.monotonic() - self._since > self._seconds:
            raise BudgetExceeded(
                f"it wants more than {self._cpu:g} s of CPU a second (limit cpu) and was throttled for "
                f"{self._seconds:g} s without a break; raise the limit or do less"
            )
