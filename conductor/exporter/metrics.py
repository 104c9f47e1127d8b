"""The agent's own metrics, written from states, costs and counts. What is unknown is absent, never 0."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from conductor.exporter.board import Board, Rows
from conductor.exporter.families import AGENT, PROGRAM, call_durations
from conductor.exporter.page import Page
from conductor.exporter.process import process_usage
from conductor.exporter.program_metrics import ProgramMetrics
from conductor.exporter.store import SeriesStore
from conductor.exporter.table import Row
from conductor.model.metrics import MetricSpec
from conductor.model.status import Cost, KernelStatus, ProgramStatus, State

__all__ = ["Build", "Calls", "Queue", "SelfMetrics"]

_UP = {State.RUNNING, State.UPDATING}
IMAGES = tuple(family.name for family in AGENT if family.name.startswith("conductor_image"))
"""Written from what the Image Manager counts, by the same names."""


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
        self,
        *,
        store: SeriesStore,
        page: Page,
        build: Build,
        call_bounds: tuple[float, ...] = (1.0,),
        more: tuple[MetricSpec, ...] = (),
    ) -> None:
        self._store = store
        self._page = page
        self._build = build
        self._more = tuple(spec.name for spec in more)
        """Families that only some agents have."""
        self._board = Board(sink=store.self_sink(), specs=(*PROGRAM, *AGENT, call_durations(call_bounds), *more))
        self._programs = ProgramMetrics(board=self._board, store=store)

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
        kernel_counts: Mapping[str, int | None] | None = None,
        images: Mapping[str, int] | None = None,
        calls: Calls | None = None,
        requests: Mapping[tuple[str, str], int] | None = None,
        loop_lag: float | None = None,
        more: Mapping[str, Rows] | None = None,
    ) -> None:
        """Write everything that is told; what is left out leaves the page. To be called before each tick."""
        self._programs.states(programs)
        self._programs.costs(tuple(costs))
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
        for what in ("orphans", "foreign_programs", "links_left_out"):
            show(f"conductor_kernel_{what}", _one((kernel_counts or {}).get(what)))
        for name in IMAGES:
            show(name, _one((images or {}).get(name.removeprefix("conductor_"))))
        for name in self._more:
            show(name, (more or {}).get(name, {}))
        show("conductor_loop_lag_seconds", _one(loop_lag))
        show("conductor_http_requests_total", {key: float(count) for key, count in (requests or {}).items()})
        self._calls(calls)
        self._page_cost()
        self._process()

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
