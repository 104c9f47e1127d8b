"""The agent's own metrics, written from states, costs and counts. What is unknown is absent, never 0."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from conductor.exporter.board import Board
from conductor.exporter.families import AGENT, PROGRAM, call_durations
from conductor.exporter.page import Page
from conductor.exporter.process import process_usage
from conductor.exporter.store import SeriesStore
from conductor.exporter.table import Row
from conductor.model.status import Cost, KernelStatus, ProgramStatus, State, StreamCost

__all__ = ["Build", "Calls", "Queue", "SelfMetrics"]

_STATES = tuple((state, state.word) for state in State)
_UP = {State.RUNNING, State.UPDATING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """Labels of `conductor_build_info`."""

    version: str
    python: str = ""
    node: str = ""


class Calls(Protocol):
    """What the gRPC door counts."""

    @property
    def finished(self) -> Mapping[tuple[str, str], int]:
        """Calls by method and code."""
        ...

    @property
    def seconds(self) -> Mapping[str, float]:
        """Duration of all calls by method."""
        ...

    @property
    def buckets(self) -> Mapping[str, Sequence[int]]:
        """Calls per latency bucket by method, not cumulative, the last beyond all bounds."""
        ...

    @property
    def in_flight(self) -> int:
        """Calls under way."""
        ...

    @property
    def connections(self) -> int:
        """Open connections."""
        ...

    @property
    def connections_refused(self) -> int:
        """Connections refused so far."""
        ...


class Queue(Protocol):
    """What a bounded queue counts."""

    @property
    def depth(self) -> int:
        """Events that wait."""
        ...

    @property
    def published(self) -> int:
        """Events so far."""
        ...

    @property
    def waits(self) -> int:
        """Times a writer had to wait."""
        ...

    @property
    def let_go(self) -> int:
        """Readers that were let go."""
        ...


class SelfMetrics:
    """Write `conductor_*`. Sole user of the store's own sink; used by one thread at a time."""

    def __init__(
        self, *, store: SeriesStore, page: Page, build: Build, call_bounds: tuple[float, ...] = (1.0,)
    ) -> None:
        self._store = store
        self._page = page
        self._build = build
        self._board = Board(sink=store.self_sink(), specs=(*PROGRAM, *AGENT, call_durations(call_bounds)))
        self._ticks: dict[str, tuple[int, float, float]] = {}
        """Program -> ticks, seconds of all ticks, and mean of the latest ones."""

    def update(
        self,
        *,
        programs: Sequence[ProgramStatus],
        costs: Iterable[Cost],
        kernel: Sequence[KernelStatus] = (),
        ready: tuple[bool, Sequence[str]] | None = None,
        queues: Mapping[str, Queue] | None = None,
        reconcile: Mapping[str, int] | None = None,
        road: tuple[str, bool] | None = None,
        road_counts: Mapping[str, int] | None = None,
        strays: Mapping[str, int | None] | None = None,
        calls: Calls | None = None,
        requests: Mapping[tuple[str, str], int] | None = None,
        loop_lag: float | None = None,
    ) -> None:
        """Write everything that is told; what is left out leaves the page. To be called before each tick."""
        self._programs(programs)
        self._costs({cost.name: cost for cost in costs})
        self._kernel(kernel)
        show = self._board.show
        build = self._build
        show("conductor_build_info", {(build.version, build.python, build.node): 1.0})
        show("conductor_ready", _one(ready and ready[0]))
        show("conductor_ready_reasons", _one(len(ready[1]) if ready else None))
        self._queues(queues or {})
        show("conductor_reconcile_total", {(action,): float(count) for action, count in (reconcile or {}).items()})
        show("conductor_road_connected", {(road[0],): float(road[1])} if road else {})
        for what in ("calls", "errors", "retries", "reconnects"):
            show(f"conductor_road_{what}_total", _one((road_counts or {}).get(what)))
        for what in ("orphans", "foreign_programs"):
            show(f"conductor_kernel_{what}", _one((strays or {}).get(what)))
        show("conductor_loop_lag_seconds", _one(loop_lag))
        show("conductor_http_requests_total", {key: float(count) for key, count in (requests or {}).items()})
        self._calls(calls)
        self._page_cost()
        self._process()

    def _programs(self, programs: Sequence[ProgramStatus]) -> None:
        states = [(str(status.spec.name), status.condition.state) for status in programs]
        up: dict[Row, float] = {(name,): float(state in _UP) for name, state in states}
        self._board.show("conductor_program_up", up)
        each_state: dict[Row, float] = {
            (name, word): float(state is each) for name, state in states for each, word in _STATES
        }
        self._board.show("conductor_program_state", each_state)
        restarts: dict[Row, float] = {(str(status.spec.name),): float(status.restarts) for status in programs}
        self._board.show("conductor_program_restarts_total", restarts)

    def _costs(self, costs: Mapping[str, Cost]) -> None:
        def show(name: str, values: Mapping[str, float | None]) -> None:
            rows: dict[Row, float] = {
                (program,): float(value) for program, value in values.items() if value is not None
            }
            self._board.show(f"conductor_program_{name}", rows)

        ticked = {name: cost for name, cost in costs.items() if cost.ticks}
        self._ticks = {name: self._latest(name, cost) for name, cost in ticked.items()}
        show("collect_duration_seconds", {name: mean for name, (_, _, mean) in self._ticks.items()})
        show("collect_success", {name: cost.last_tick_ok for name, cost in ticked.items()})
        show("last_collect_timestamp_seconds", {name: cost.last_tick for name, cost in costs.items()})
        show("guest_cpu_seconds_total", {name: cost.cpu_seconds for name, cost in costs.items()})
        show("memory_bytes", {name: cost.memory_bytes for name, cost in costs.items()})
        show("kernel_run_seconds_total", {name: cost.kernel_run_seconds for name, cost in costs.items()})
        show("kernel_runs_total", {name: cost.kernel_runs for name, cost in costs.items()})
        show("events_taken_total", {name: cost.events_taken for name, cost in costs.items()})
        show("events_queued", {name: cost.events_queued for name, cost in costs.items()})
        show("kernel_losses_total", {name: cost.kernel_losses for name, cost in costs.items()})
        show("events_delivered_total", {name: cost.events_delivered for name, cost in costs.items()})
        show("series", {name: cost.series for name, cost in costs.items()})
        show("series_refused_total", {name: cost.series_refused for name, cost in costs.items()})
        show("series_lost_writes_total", {name: self._store.usage(name).lost for name in costs})
        show("log_lines_dropped_total", {name: cost.log_lines_dropped for name, cost in costs.items()})
        dropped: dict[Row, float] = {
            (name, reason): float(count)
            for name, cost in costs.items()
            for reason, count in cost.events_dropped.items()
        }
        self._board.show("conductor_program_events_dropped_total", dropped)
        self._streams({(name, stream): books for name, cost in costs.items() for stream, books in cost.streams.items()})

    def _streams(self, books: Mapping[tuple[str, str], StreamCost]) -> None:
        def show(name: str, values: Mapping[Row, float]) -> None:
            self._board.show(f"conductor_program_stream_{name}", values)

        show("events_taken_total", {row: float(one.taken) for row, one in books.items()})
        show("events_queued", {row: float(one.queued) for row, one in books.items()})
        show("events_delivered_total", {row: float(one.delivered) for row, one in books.items()})
        known = {row: one.kernel_losses for row, one in books.items()}
        show("kernel_losses_total", {row: float(count) for row, count in known.items() if count is not None})
        show(
            "events_dropped_total",
            {(*row, why): float(count) for row, one in books.items() for why, count in one.dropped.items()},
        )

    def _latest(self, name: str, cost: Cost) -> tuple[int, float, float]:
        ticks, seconds, mean = self._ticks.get(name, (0, 0.0, 0.0))
        if cost.ticks < ticks:  # counted anew
            ticks, seconds = 0, 0.0
        if cost.ticks > ticks:
            mean = max(0.0, cost.tick_seconds - seconds) / (cost.ticks - ticks)
        return cost.ticks, cost.tick_seconds, mean

    def _kernel(self, kernel: Sequence[KernelStatus]) -> None:
        up: dict[Row, float] = {(str(status.spec.name),): float(status.condition.state in _UP) for status in kernel}
        self._board.show("conductor_kernel_program_up", up)
        functions = [(str(status.spec.name), function) for status in kernel for function in status.functions]
        seconds: dict[Row, float] = {
            (name, f.name): f.run_seconds for name, f in functions if f.run_seconds is not None
        }
        self._board.show("conductor_kernel_program_run_seconds_total", seconds)
        runs: dict[Row, float] = {(name, f.name): float(f.runs) for name, f in functions if f.runs is not None}
        self._board.show("conductor_kernel_program_runs_total", runs)

    def _queues(self, queues: Mapping[str, Queue]) -> None:
        show = self._board.show
        show("conductor_queue_depth", {(name,): float(queue.depth) for name, queue in queues.items()})
        show("conductor_queue_events_total", {(name,): float(queue.published) for name, queue in queues.items()})
        show("conductor_queue_waits_total", {(name,): float(queue.waits) for name, queue in queues.items()})
        show("conductor_queue_readers_let_go_total", {(name,): float(queue.let_go) for name, queue in queues.items()})

    def _calls(self, calls: Calls | None) -> None:
        if calls is None:
            return
        show = self._board.show
        show("conductor_grpc_calls_total", {key: float(count) for key, count in calls.finished.items()})
        show("conductor_grpc_calls_in_flight", _one(calls.in_flight))
        show("conductor_grpc_connections", _one(calls.connections))
        show("conductor_grpc_connections_refused_total", _one(calls.connections_refused))
        durations: dict[Row, tuple[list[float], float]] = {
            (method,): (list(map(float, counts)), float(calls.seconds.get(method, 0.0)))
            for method, counts in calls.buckets.items()
        }
        self._board.show_bins("conductor_grpc_call_duration_seconds", durations)

    def _page_cost(self) -> None:
        stats = self._page.stats
        self._board.show("conductor_page_renders_total", _one(stats.renders))
        self._board.show("conductor_page_ready_total", _one(stats.ready))
        self._board.show("conductor_page_render_seconds_total", _one(stats.total_seconds))
        self._board.show("conductor_page_last_render_seconds", _one(stats.last_seconds if stats.renders else None))
        self._board.show("conductor_page_bytes", _one(stats.last_bytes if stats.renders else None))

    def _process(self) -> None:
        usage = process_usage()
        self._board.show("conductor_process_cpu_seconds_total", _one(usage.cpu_seconds))
        self._board.show("conductor_process_resident_memory_bytes", _one(usage.resident_bytes))
        self._board.show("conductor_process_open_fds", _one(usage.open_fds))
        self._board.show("conductor_process_threads", _one(usage.threads))
        self._board.show("conductor_process_start_time_seconds", _one(usage.started))


def _one(value: float | None) -> dict[Row, float]:
    return {} if value is None else {(): float(value)}
