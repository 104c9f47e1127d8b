"""Whether the agent is ready, and what is amiss."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from conductor.managers.book import WishBook
from conductor.managers.crew import Crew
from conductor.managers.kernel_desk import KernelDesk
from conductor.model.ids import Name
from conductor.model.program import ProgramType
from conductor.ports import Runtime

__all__ = ["Readiness"]

PATIENCE_SECONDS = 10.0
LINES = 20


class Readiness:
    """Ready once every wish that was stored at the start was tried, or after 10 s; it stays so."""

    def __init__(
        self, *, crew: Crew, desk: KernelDesk, book: WishBook, runtimes: Mapping[ProgramType, Runtime]
    ) -> None:
        self._crew, self._desk, self._book, self._runtimes = crew, desk, book, runtimes
        self._awaited: frozenset[Name] = frozenset()
        self._begun: float | None = None
        self._is_ready = False

    def begin(self) -> None:
        """Take the present lives as those that were stored."""
        self._awaited = frozenset(life.name for life in self._crew)
        self._begun = asyncio.get_running_loop().time()

    def ready(self) -> tuple[bool, tuple[str, ...]]:
        """Answer whether, and a line per reason; what is degraded is told and does not make it unready."""
        pending = [] if self._is_ready else self._pending()
        self._is_ready = self._is_ready or not pending or self._waited() >= PATIENCE_SECONDS
        lines = [*pending, *self._degraded()]
        if len(lines) > LINES:
            lines = [*lines[: LINES - 1], f"and {len(lines) - LINES + 1} more"]
        return self._is_ready, tuple(lines)

    def _pending(self) -> list[str]:
        if self._begun is None:
            return ["the stored programs are being read"]
        lines = [] if self._desk.tried else ["kernel programs are being looked at for the first time"]
        lives = sorted((life for life in self._crew if life.name in self._awaited), key=lambda life: life.name)
        return lines + [f"program {life.name} has not been tried yet" for life in lives if not life.tried]

    def _waited(self) -> float:
        return 0.0 if self._begun is None else asyncio.get_running_loop().time() - self._begun

    def _degraded(self) -> list[str]:
        lines = list(self._book.problems)
        if self._desk.problem:
            lines.append(self._desk.problem)
        lines += self._desk.away()
        for runtime in self._runtimes.values():
            lines += runtime.problems()
        return [f"degraded: {line}" for line in lines]
