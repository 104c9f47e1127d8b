"""When a node tells its cluster what changed: at most twice per change, and seldom what comes and goes."""

from __future__ import annotations

import re
from typing import Any, TypeAlias

from conductor.model.fleet import NodeStateRow
from conductor.model.status import State

__all__ = ["Telling"]

PROGRESS = 1.0
"""Seconds after which a change that is not done is told to be under way."""
OUTCOME = 60.0
"""Seconds for which, after that, only its outcome is told."""
FIRST, LONGEST = 1.0, 300.0
"""Seconds until something that nobody asked for is told: doubling while such things go on happening."""
PASSING = 10.0
"""At least, for what may pass by itself."""
_DONE = {State.RUNNING, State.STOPPED, State.FAILED, State.QUARANTINED}
_NUMBERS = re.compile(r"\d+")
_Essence: TypeAlias = tuple[Any, ...]


class Telling:
    """Decide when the next status is due. An episode is one generation of assignments; time is the caller's."""

    def __init__(self) -> None:
        self._asked: int | None = None
        self._began = 0.0
        self._told = 0
        """Writes of this episode."""
        self._differs: float | None = None
        self._delay = FIRST
        self._last = float("-inf")

    def due(self, told: NodeStateRow, report: NodeStateRow, now: float) -> float | None:
        """Answer when `report` is to be written over what the cluster was told; None: there is nothing to say."""
        self._notice(told, report, now)
        if _essence(told) == _essence(report):
            self._differs = None
            return None
        done = _is_done(told, report)
        if self._told == 0:
            return now if done else self._began + PROGRESS
        if self._told == 1 and now < self._began + OUTCOME:
            return now if done else self._began + OUTCOME
        self._differs = now if self._differs is None else self._differs
        return self._differs + (self._delay if done else max(self._delay, PASSING))

    def wrote(self, now: float) -> None:
        """Take that a status was written."""
        if self._told >= 2:
            calm = now - self._last > 10 * self._delay
            self._delay = FIRST if calm else min(2 * self._delay, LONGEST)
        self._told += 1
        self._differs, self._last = None, now

    def _notice(self, told: NodeStateRow, report: NodeStateRow, now: float) -> None:
        asked = report.observed_generation
        if asked == self._asked:
            return
        is_old = self._asked is None and told.observed_generation == asked  # an agent that came back to what it told
        self._asked, self._began, self._told = asked, now, 2 if is_old else 0
        self._differs = None


def _is_done(told: NodeStateRow, report: NodeStateRow) -> bool:
    """Whether nothing is on its way. What waits, as was told already, may wait for ever: it keeps no other's outcome."""
    known = set(_rows(told))
    return report.agent.ready and all(
        item.state in _DONE or (item.state is State.WAITING and row in known)
        for item, row in zip(report.observed, _rows(report), strict=True)
    )


def _essence(row: NodeStateRow) -> _Essence:
    """What makes two statuses different: not since when, and no number inside a message."""
    return row.observed_generation, row.agent, tuple(_rows(row))


def _rows(row: NodeStateRow) -> list[_Essence]:
    printed = [item.printed() for item in row.observed]
    return [
        (item["kind"], item["name"], item["hash"], item["state"], item.get("reason", ""), _words(item))
        for item in printed
    ]


def _words(item: dict[str, Any]) -> str:
    return _NUMBERS.sub("0", item.get("message", ""))
