"""`conductor_program_*`: states and costs of programs, written as columns; rows change as seldom as programs do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter

import numpy as np

from conductor.exporter.board import Board
from conductor.exporter.store import SeriesStore
from conductor.exporter.table import Row
from conductor.model.status import DROP_REASONS, Cost, ProgramStatus, State, StreamCost

__all__ = ["ProgramMetrics"]

_WORDS = tuple(state.word for state in State)
_PLACES = {state: place for place, state in enumerate(State)}
_UP = {State.RUNNING, State.UPDATING}
_COSTS: tuple[tuple[str, Callable[[Cost], float | None]], ...] = (
    ("last_collect_timestamp_seconds", attrgetter("last_tick")),
    ("guest_cpu_seconds_total", attrgetter("cpu_seconds")),
    ("memory_bytes", attrgetter("memory_bytes")),
    ("kernel_run_seconds_total", attrgetter("kernel_run_seconds")),
    ("kernel_runs_total", attrgetter("kernel_runs")),
    ("events_taken_total", attrgetter("events_taken")),
    ("events_queued", attrgetter("events_queued")),
    ("kernel_losses_total", attrgetter("kernel_losses")),
    ("events_delivered_total", attrgetter("events_delivered")),
    ("series", attrgetter("series")),
    ("series_refused_total", attrgetter("series_refused")),
    ("log_lines_dropped_total", attrgetter("log_lines_dropped")),
    ("late_writes_total", attrgetter("held_back")),
)
_NO_DROPS = dict.fromkeys(DROP_REASONS, 0)
_STREAMS: tuple[tuple[str, Callable[[StreamCost], float | None]], ...] = (
    ("events_taken_total", attrgetter("taken")),
    ("events_queued", attrgetter("queued")),
    ("events_delivered_total", attrgetter("delivered")),
    ("kernel_losses_total", attrgetter("kernel_losses")),
)


class ProgramMetrics:
    """Write what the page says of each user program."""

    def __init__(self, *, board: Board, store: SeriesStore) -> None:
        self._board, self._store = board, store
        self._names: list[str] = []
        self._rows: list[Row] = []
        """A row per name; the same objects until a program comes or goes, so that the board knows their ids."""
        self._state_rows: list[Row] = []
        self._costed: list[str] = []
        self._cost_rows: list[Row] = []
        self._ticks: dict[str, tuple[int, float, float]] = {}
        """Program -> ticks, seconds of all ticks, and mean of the latest ones."""

    def states(self, programs: Sequence[ProgramStatus]) -> None:
        """Write where programs stand."""
        # A wish that lost its name to another source stands before the one that won, which counts.
        by_name = {str(status.spec.name): status for status in programs}
        self._name(list(by_name))
        states = [status.condition.state for status in by_name.values()]
        each = np.zeros((len(states), len(_WORDS)))
        each[np.arange(len(states)), [_PLACES[state] for state in states]] = 1.0
        self._board.fill("conductor_program_state", self._state_rows, each.ravel())
        self._column("up", self._rows, [state in _UP for state in states])
        self._column("restarts_total", self._rows, [status.restarts for status in by_name.values()])

    def costs(self, costs: Sequence[Cost]) -> None:
        """Write what programs cost."""
        names = [str(cost.name) for cost in costs]
        if names != self._costed:
            self._costed = names
            self._cost_rows = self._rows if names == self._names else [(name,) for name in names]
        rows = self._cost_rows
        for family, value_of in _COSTS:
            self._column(family, rows, list(map(value_of, costs)))
        self._column("series_lost_writes_total", rows, list(map(self._store.lost_writes, names)))
        self._collections(rows, costs)
        self._losses(costs)

    def _name(self, names: list[str]) -> None:
        if names != self._names:
            self._names = names
            self._rows = [(name,) for name in names]
            self._state_rows = [(name, word) for name in names for word in _WORDS]

    def _column(self, name: str, rows: list[Row], values: Sequence[float | None]) -> None:
        """Show a value in each row; a row whose value is unknown is left out."""
        family = f"conductor_program_{name}"
        if None in values:
            known = {row: float(value) for row, value in zip(rows, values, strict=True) if value is not None}
            self._board.show(family, known)
        else:
            self._board.fill(family, rows, np.array(values, np.float64))

    def _collections(self, rows: list[Row], costs: Sequence[Cost]) -> None:
        """Write how ticks went; a program that did not tick yet has none of these."""
        self._ticks = {cost.name: self._latest(cost) for cost in costs if cost.ticks}
        means = [self._ticks[cost.name][2] if cost.ticks else None for cost in costs]
        self._column("collect_duration_seconds", rows, means)
        self._column("collect_success", rows, [cost.last_tick_ok if cost.ticks else None for cost in costs])

    def _latest(self, cost: Cost) -> tuple[int, float, float]:
        ticks, seconds, mean = self._ticks.get(cost.name, (0, 0.0, 0.0))
        if cost.ticks < ticks:  # counted anew
            ticks, seconds = 0, 0.0
        if cost.ticks > ticks:
            mean = max(0.0, cost.tick_seconds - seconds) / (cost.ticks - ticks)
        return cost.ticks, cost.tick_seconds, mean

    def _losses(self, costs: Sequence[Cost]) -> None:
        """Write the books of rings. What is fed by one has a row for every reason of loss from the first moment on."""
        dropped: dict[Row, float] = {
            (str(cost.name), why): float(count)
            for cost in costs
            for why, count in {**(_NO_DROPS if cost.streams else {}), **cost.events_dropped}.items()
        }
        self._board.show("conductor_program_events_dropped_total", dropped)
        books = {(str(cost.name), stream): one for cost in costs for stream, one in cost.streams.items()}
        rows: list[Row] = list(books)
        for family, value_of in _STREAMS:
            self._column(f"stream_{family}", rows, list(map(value_of, books.values())))
        lost: dict[Row, float] = {
            (*row, why): float(count)
            for row, one in books.items()
            for why, count in {**_NO_DROPS, **one.dropped}.items()
        }
        self._board.show("conductor_program_stream_events_dropped_total", lost)
