"""The agent's own metrics: what is known is there, what is unknown is absent, what is gone leaves."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from conductor.exporter.metrics import Build, SelfMetrics
from conductor.model.ids import Name, ProgramId
from conductor.model.kernel import BuiltinObject, KernelFunctionStatus, KernelProgramSpec, KernelType
from conductor.model.program import BuiltinSource, Source, UserProgramSpec
from conductor.model.status import DROP_REASONS, Condition, Cost, KernelStatus, ProgramStatus, State, StreamCost


@dataclass
class Counts:
    finished: dict[tuple[str, str], int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    buckets: dict[str, list[int]] = field(default_factory=dict)
    in_flight: int = 0
    connections: int = 0
    connections_refused: int = 0


@dataclass
class Waiting:
    depth: int
    published: int
    waits: int
    let_go: int


def program(name: str, state: State = State.RUNNING, **fields: Any) -> ProgramStatus:
    spec = UserProgramSpec(name=Name(name), source=BuiltinSource(name="b"))
    return ProgramStatus(spec=spec, source=Source.GRPC, condition=Condition(state=state), **fields)


@pytest.fixture
def own(bench: Any) -> SelfMetrics:
    build = Build(version="0.1.0", python="3.11", node="n1")
    return SelfMetrics(store=bench.store, page=bench.page, build=build, call_bounds=(0.1, 1.0))


@pytest.fixture
def shown(bench: Any) -> Any:
    def read(name: str) -> dict[tuple[str, ...], float]:
        families = text_string_to_metric_families(bench.text())
        samples = [sample for family in families for sample in family.samples if sample.name == f"conductor_{name}"]
        return {tuple(sample.labels.values()): sample.value for sample in samples}

    return read


def test_states_of_programs(own: SelfMetrics, shown: Any) -> None:
    own.update(programs=[program("p", restarts=3), program("q", State.FAILED)], costs=[])
    assert shown("program_up") == {("p",): 1.0, ("q",): 0.0}
    assert {row for row, value in shown("program_state").items() if value} == {("p", "Running"), ("q", "Failed")}
    assert len(shown("program_state")) == 2 * len(State)
    assert shown("program_restarts_total") == {("p",): 3.0, ("q",): 0.0}


def test_a_program_that_is_gone_leaves(own: SelfMetrics, shown: Any) -> None:
    own.update(programs=[program("p"), program("q")], costs=[Cost(name=Name("p")), Cost(name=Name("q"))])
    shown("program_up")
    own.update(programs=[program("q")], costs=[Cost(name=Name("q"))])
    assert shown("program_up") == {("q",): 1.0}
    assert shown("program_guest_cpu_seconds_total") == {("q",): 0.0}


def test_costs(own: SelfMetrics, shown: Any) -> None:
    cost = Cost(
        name=Name("p"), cpu_seconds=1.5, memory_bytes=4096, series=7, series_refused=2, kernel_run_seconds=0.25,
        kernel_runs=9, events_delivered=5, events_dropped={"full": 3}, log_lines_dropped=1, ticks=2, tick_seconds=0.5,
        last_tick=1763870000.0, last_tick_ok=False,
    )  # fmt: skip
    own.update(programs=[], costs=[cost])
    wanted = {
        "guest_cpu_seconds_total": 1.5, "memory_bytes": 4096.0, "series": 7.0, "series_refused_total": 2.0,
        "kernel_run_seconds_total": 0.25, "kernel_runs_total": 9.0, "events_delivered_total": 5.0,
        "log_lines_dropped_total": 1.0, "collect_duration_seconds": 0.25, "collect_success": 0.0,
        "last_collect_timestamp_seconds": 1763870000.0,
    }  # fmt: skip
    assert {name: shown(f"program_{name}") for name in wanted} == {name: {("p",): v} for name, v in wanted.items()}
    assert shown("program_events_dropped_total") == {("p", "full"): 3.0}


def test_books_by_stream(own: SelfMetrics, shown: Any) -> None:
    streams = {
        "execs": StreamCost(taken=9, delivered=5, queued=1, dropped={"inbox_full": 3}, kernel_losses=2),
        "exits": StreamCost(taken=4, delivered=4),
    }
    own.update(programs=[], costs=[Cost(name=Name("p"), streams=streams)])
    execs, exits = ("p", "execs"), ("p", "exits")
    assert shown("program_stream_events_taken_total") == {execs: 9.0, exits: 4.0}
    assert shown("program_stream_events_delivered_total") == {execs: 5.0, exits: 4.0}
    assert shown("program_stream_events_queued") == {execs: 1.0, exits: 0.0}
    by_reason = {reason: 3.0 * (reason == "inbox_full") for reason in DROP_REASONS}
    lost = shown("program_stream_events_dropped_total")
    assert lost == {("p", why, "execs"): n for why, n in by_reason.items()} | {
        ("p", why, "exits"): 0.0 for why in DROP_REASONS
    }
    assert shown("program_stream_kernel_losses_total") == {execs: 2.0}  # the other ring's are not counted


def test_every_reason_of_loss_is_there_before_anything_is_lost(own: SelfMetrics, shown: Any) -> None:
    fed = Cost(name=Name("p"), streams={"execs": StreamCost()})
    own.update(programs=[], costs=[fed, Cost(name=Name("q"))])
    assert shown("program_events_dropped_total") == {("p", reason): 0.0 for reason in DROP_REASONS}
    own.update(programs=[], costs=[replace(fed, events_dropped={"trap": 2, "new": 1}), Cost(name=Name("q"))])
    lost = shown("program_events_dropped_total")
    assert (lost["p", "trap"], lost["p", "new"], lost["p", "closed"]) == (2.0, 1.0, 0.0)


def test_rows_follow_programs_that_come_and_go(own: SelfMetrics, shown: Any) -> None:
    def told(*names: str) -> None:
        costs = [Cost(name=Name(name), cpu_seconds=float(ord(name))) for name in names]
        own.update(programs=[program(name) for name in names], costs=costs)
        assert shown("program_guest_cpu_seconds_total") == {(name,): float(ord(name)) for name in names}
        assert {row for row, value in shown("program_state").items() if value} == {(name, "Running") for name in names}

    for names in ("abc", "abc", "abd", "", "d", "ad"):
        told(*names)


def test_a_value_that_becomes_known_joins_those_of_others(own: SelfMetrics, shown: Any) -> None:
    for known in (None, 5, None, 6):
        own.update(programs=[], costs=[Cost(name=Name("p"), memory_bytes=4), Cost(name=Name("q"), memory_bytes=known)])
        expected = {("p",): 4.0} | ({} if known is None else {("q",): float(known)})
        assert shown("program_memory_bytes") == expected


def test_of_two_programs_of_one_name_the_one_that_won_counts(own: SelfMetrics, shown: Any) -> None:
    own.update(programs=[program("p", State.FAILED), program("p")], costs=[])
    assert shown("program_up") == {("p",): 1.0}


@pytest.mark.parametrize(
    "name",
    ["kernel_run_seconds_total", "kernel_runs_total", "memory_bytes", "last_collect_timestamp_seconds",
     "collect_success", "collect_duration_seconds", "events_dropped_total"],
)  # fmt: skip
def test_what_is_unknown_is_absent(own: SelfMetrics, shown: Any, name: str) -> None:
    own.update(programs=[program("p")], costs=[Cost(name=Name("p"))])
    assert shown("program_series") == {("p",): 0.0}
    assert shown(f"program_{name}") == {}


def test_what_becomes_unknown_leaves(own: SelfMetrics, shown: Any) -> None:
    known = Cost(name=Name("p"), kernel_runs=9)
    own.update(programs=[], costs=[known])
    assert shown("program_kernel_runs_total") == {("p",): 9.0}
    own.update(programs=[], costs=[replace(known, kernel_runs=None)])
    assert shown("program_kernel_runs_total") == {}


def test_collect_duration_is_that_of_the_latest_ticks(own: SelfMetrics, shown: Any) -> None:
    for ticks, seconds in ((10, 1.0), (12, 5.0), (12, 5.0)):
        own.update(programs=[], costs=[Cost(name=Name("p"), ticks=ticks, tick_seconds=seconds)])
    assert shown("program_collect_duration_seconds") == {("p",): 2.0}
    own.update(programs=[], costs=[Cost(name=Name("p"), ticks=1, tick_seconds=0.5)])
    assert shown("program_collect_duration_seconds") == {("p",): 0.5}


def test_lost_writes_come_from_the_store(own: SelfMetrics, shown: Any, bench: Any, spec: Any, put: Any) -> None:
    put(bench.store.sink("p", 1), spec(labels=("a",)), {("x",): 1.0, ("y",): 1.0})
    own.update(programs=[], costs=[Cost(name=Name("p"))])
    assert shown("program_series_lost_writes_total") == {("p",): 1.0}


def test_kernel_programs(own: SelfMetrics, shown: Any) -> None:
    functions = tuple(
        KernelFunctionStatus(name=name, type=KernelType.TRACEPOINT, id=ProgramId(1), run_seconds=seconds, runs=runs)
        for name, seconds, runs in (("f", 0.5, 3), ("g", None, None))
    )
    spec = KernelProgramSpec(name=Name("k"), bytecode=BuiltinObject(name="k"), programs=())
    condition = Condition(state=State.RUNNING)
    own.update(
        programs=[],
        costs=[],
        kernel=[KernelStatus(spec=spec, source=Source.FILE, condition=condition, functions=functions)],
    )
    assert shown("kernel_program_up") == {("k",): 1.0}
    assert shown("kernel_program_run_seconds_total") == {("f", "k"): 0.5}
    assert shown("kernel_program_runs_total") == {("f", "k"): 3.0}


def test_the_agent_itself(own: SelfMetrics, shown: Any) -> None:
    calls = Counts(
        finished={("Load", "OK"): 2}, seconds={"Load": 0.75}, buckets={"Load": [1, 1, 0]}, connections_refused=4
    )
    own.update(
        programs=[],
        costs=[],
        ready=(False, ("a", "b")),
        queues={"events": Waiting(depth=5, published=7, waits=1, let_go=2)},
        reconcile={"loads": 3, "failures": 0},
        road=("embedded", True),
        road_counts={"calls": 9, "errors": 2, "retries": 1, "reconnects": 0},
        kernel_counts={"orphans": None, "foreign_programs": 2, "links_left_out": 5},
        calls=calls,
        requests={("/metrics", "200"): 6},
        loop_lag=0.125,
    )
    assert shown("build_info") == {("n1", "3.11", "0.1.0"): 1.0}
    assert (shown("ready"), shown("ready_reasons")) == ({(): 0.0}, {(): 2.0})
    queue = [shown(f"queue_{name}") for name in ("depth", "events_total", "waits_total", "readers_let_go_total")]
    assert queue == [{("events",): number} for number in (5.0, 7.0, 1.0, 2.0)]
    assert shown("reconcile_total") == {("loads",): 3.0, ("failures",): 0.0}
    assert shown("road_connected") == {("embedded",): 1.0}
    counts = [shown(f"road_{what}_total") for what in ("calls", "errors", "retries", "reconnects")]
    assert counts == [{(): number} for number in (9.0, 2.0, 1.0, 0.0)]
    assert (shown("kernel_orphans"), shown("kernel_foreign_programs")) == ({}, {(): 2.0})
    assert shown("kernel_links_left_out") == {(): 5.0}
    assert shown("grpc_calls_total") == {("OK", "Load"): 2.0}
    assert shown("grpc_call_duration_seconds_bucket") == {
        ("0.1", "Load"): 1.0,
        ("1.0", "Load"): 2.0,
        ("+Inf", "Load"): 2.0,
    }
    assert shown("grpc_connections_refused_total") == {(): 4.0}
    assert shown("http_requests_total") == {("200", "/metrics"): 6.0}
    assert shown("loop_lag_seconds") == {(): 0.125}
    assert shown("process_resident_memory_bytes")[()] > 1e6
    assert shown("process_cpu_seconds_total")[()] > 0
    assert shown("process_open_fds")[()] >= 3
    own.update(programs=[], costs=[])
    assert shown("ready") == shown("loop_lag_seconds") == {}
    assert shown("page_renders_total")[()] > 5
