"""When a program has crashed too often: quarantine."""

from __future__ import annotations

from collections import deque

from conductor.model.ids import Name
from conductor.model.status import Condition, State
from conductor.plan.conditions import sentence

__all__ = ["Strikes"]

WINDOW_SECONDS = 600.0
CRASHES = 5
STUCK = 3


class Strikes:
    """Count crashes: five within ten minutes, three stuck threads, or one broken budget put a program in quarantine."""

    def __init__(self) -> None:
        self._crashes: deque[float] = deque(maxlen=CRASHES)
        self._stuck = 0
        self.is_out = False

    @property
    def count(self) -> int:
        """Crashes within the window, as of the last one."""
        return len(self._crashes)

    def out(self, now: float, *, stuck: bool = False, budget: bool = False) -> bool:
        """Count one more; answer whether that was the last."""
        self._crashes.append(now)
        while now - self._crashes[0] > WINDOW_SECONDS:
            self._crashes.popleft()
        self._stuck += stuck
        self.is_out = budget or self._stuck >= STUCK or len(self._crashes) >= CRASHES
        return self.is_out

    def condition(self, name: Name, failure: Exception) -> Condition:
        """Say why a program is quarantined and how it comes back."""
        reason = getattr(failure, "reason", "") if self.count < CRASHES else "CrashLoop"
        message = sentence(f"{failure}; it is not tried any more: mend it, then conductor restart {name}, or update it")
        return Condition(state=State.QUARANTINED, reason=reason, message=message)
