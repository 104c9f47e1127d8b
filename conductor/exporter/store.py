"""The series store: one sink per program, and one for the agent's own metrics."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Final

from conductor.exporter.catalog import Catalog
from conductor.exporter.names import check
from conductor.exporter.sink import ProgramSeries, SeriesUsage
from conductor.model.metrics import MetricSpec

__all__ = ["SeriesStore", "SeriesUsage"]

_AGENT: Final = ""
_AGENT_BUDGET: Final = 200_000


class SeriesStore:
    """Own every series of this process. Thread-safe; each sink is written by one thread at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._catalog = Catalog()
        self._agent = ProgramSeries(program=_AGENT, budget=_AGENT_BUDGET, catalog=self._catalog)
        self._sinks: dict[str, ProgramSeries] = {}

    def sink(self, program: str, budget: int) -> ProgramSeries:
        """Answer the sink of a program: the same one again until it is dropped, so counters resume."""
        with self._lock:
            sink = self._sinks.get(program)
            if sink is None:
                sink = ProgramSeries(program=program, budget=budget, catalog=self._catalog)
                self._sinks[program] = sink
            sink.budget = budget
            return sink

    def self_sink(self) -> ProgramSeries:
        """Answer the agent's own sink: no `program` label is added, `conductor_` may be declared."""
        return self._agent

    def sinks(self) -> tuple[ProgramSeries, ...]:
        """Answer every sink, the agent's first."""
        with self._lock:
            return self._agent, *self._sinks.values()

    def check(self, program: str, specs: Iterable[MetricSpec]) -> None:
        """Tell at load whether a program's declarations would be taken. Raises `InvalidSpec`, `MetricClash`."""
        specs = tuple(specs)
        for spec in specs:
            check(spec, by_agent=False)
        self._catalog.check(program, specs)

    def usage(self, program: str) -> SeriesUsage:
        """Count a program's series and refusals; zeros for a program that never had a sink."""
        sink = self._sinks.get(program)
        return sink.usage() if sink else SeriesUsage()

    def lost_writes(self, program: str) -> int:
        """Count a program's writes to refused or forgotten series; no lock, as it is one number."""
        sink = self._sinks.get(program)
        return sink.lost if sink else 0

    def drop(self, program: str) -> None:
        """Forget a program: its series leave the page, its metric names are free again."""
        with self._lock:
            sink = self._sinks.pop(program, None)
        if sink:
            sink.close()
            self._catalog.leave(program)
