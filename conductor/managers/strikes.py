"""When a program has crashed too often: quarantine."""

from __future__ import annotations

from conductor.model.ids import Name
from conductor.model.status import Condition, State
from conductor.plan.backoff import delay
from conductor.plan.conditions import sentence

__all__ = ["Strikes"]

WINDOW_SECONDS = 600.0
CRASHES = 5
STUCK = 3
FIRST_QUARANTINE, LONGEST_QUARANTINE = 30.0, 3600.0
"""Seconds: doubling with each quarantine that follows within the window after the one before."""


class Strikes:
    """Count crashes: five within ten minutes, three stuck threads, or one broken budget put a program in quarantine."""

    def __init__(self, *, first: float = FIRST_QUARANTINE) -> None:
        self._first = first
        self._crashes: list[float] = []
        self._stuck = 0
        self._rounds = 0
        self._until = 0.0
        self.is_out = False

    @property
    def count(self) -> int:
        """Crashes within the window, as of the last one."""
        return len(self._crashes)

    def out(self, now: float, *, stuck: bool = False, budget: bool = False) -> bool:
        """Count one more; answer whether that was the last."""
        self._crashes = [then for then in (*self._crashes, now) if now - then <= WINDOW_SECONDS][-CRASHES:]
        self._stuck += stuck
        self.is_out = budget or self._stuck >= STUCK or len(self._crashes) >= CRASHES
        if self.is_out:
            self._rounds = self._rounds + 1 if now - self._until < WINDOW_SECONDS else 1
            self._until = now + delay(self._rounds, 0.0, first=self._first, longest=LONGEST_QUARANTINE)
        return self.is_out

    def left(self, now: float) -> float | None:
        """Seconds of quarantine that are left; None where only a person ends it: each stuck thread is lost for good."""
        return None if self._stuck >= STUCK else max(0.0, self._until - now)

    def release(self) -> None:
        """End the quarantine; what it is for is not forgotten: the next one is longer."""
        self.is_out = False
        self._crashes.clear()

    def condition(self, name: Name, failure: Exception) -> Condition:
        """Say why a program is quarantined and how it comes back."""
        reason = getattr(failure, "reason", "") if self.count < CRASHES else "CrashLoop"
        seconds = delay(self._rounds, 0.0, first=self._first, longest=LONGEST_QUARANTINE)
        again = "is not tried any more" if self._stuck >= STUCK else f"is tried again after {seconds:g} s"
        message = sentence(f"{failure}; it {again}: mend it, then conductor restart {name}, or update it")
        return Condition(state=State.QUARANTINED, reason=reason, message=message)
