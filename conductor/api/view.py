"""What the doors show of the managers, from the first moment on: before there are any, that the agent is starting."""

from __future__ import annotations

from collections.abc import Callable

from conductor.managers.program import ProgramManager
from conductor.model.status import Cost, KernelStatus, ProgramStatus

__all__ = ["View"]


class View:
    """What HTTP shows: the Program Manager once there is one, and that it is starting before."""

    def __init__(self) -> None:
        self._programs: ProgramManager | None = None
        self._problems: Callable[[], tuple[str, ...]] = tuple

    def begin(self, *, programs: ProgramManager, problems: Callable[[], tuple[str, ...]]) -> None:
        """Show the managers from now on; `problems` are degraded conditions beyond theirs."""
        self._programs, self._problems = programs, problems

    def programs(self) -> tuple[ProgramStatus, ...]:
        """User programs."""
        return self._programs.observed() if self._programs else ()

    def kernel(self) -> tuple[KernelStatus, ...]:
        """Kernel programs."""
        return self._programs.kernel() if self._programs else ()

    def costs(self) -> tuple[Cost, ...]:
        """What user programs cost."""
        return self._programs.costs() if self._programs else ()

    def ready(self) -> tuple[bool, tuple[str, ...]]:
        """Whether the agent is ready, and a line per thing amiss."""
        if self._programs is None:
            return False, ("the agent is starting",)
        ready, lines = self._programs.ready()
        return ready, (*lines, *(f"degraded: {line}" for line in self._problems()))
