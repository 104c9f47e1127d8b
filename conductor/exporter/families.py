"""Every metric that the agent writes of itself and of the programs, declared."""

from __future__ import annotations

from typing import Final

from conductor.model.metrics import MetricKind, MetricSpec

__all__ = ["AGENT", "PROGRAM", "call_durations"]


def _counter(name: str, help_: str, *labels: str, unit: str = "") -> MetricSpec:
    return MetricSpec(name=f"conductor_{name}", kind=MetricKind.COUNTER, help=help_, labels=labels, unit=unit)


def _gauge(name: str, help_: str, *labels: str, unit: str = "") -> MetricSpec:
    return MetricSpec(name=f"conductor_{name}", kind=MetricKind.GAUGE, help=help_, labels=labels, unit=unit)


_P: Final = "program"
_S: Final = "stream"

PROGRAM: Final = (
    _gauge("program_up", "Whether the program runs.", _P),
    _gauge("program_state", "1 for the state the program is in, 0 for the others.", _P, "state"),
    _gauge("program_collect_duration_seconds", "Mean duration of the latest ticks.", _P, unit="seconds"),
    _gauge("program_collect_success", "Whether the last tick succeeded.", _P),
    _gauge("program_last_collect_timestamp_seconds", "When a tick last succeeded.", _P, unit="seconds"),
    _counter("program_guest_cpu_seconds_total", "CPU time of the user-space half.", _P, unit="seconds"),
    _gauge("program_memory_bytes", "Memory of the user-space half.", _P, unit="bytes"),
    _counter("program_kernel_run_seconds_total", "Run time of the kernel half.", _P, unit="seconds"),
    _counter("program_kernel_runs_total", "Runs of the kernel half.", _P),
    _counter("program_events_taken_total", "Events taken from ring buffers: delivered, dropped or queued.", _P),
    _gauge("program_events_queued", "Events that wait for the program.", _P),
    _counter(
        "program_kernel_losses_total", "Events that the kernel half could not hand over, where it counts them.", _P
    ),
    _counter("program_events_delivered_total", "Events handed to the program.", _P),
    _counter("program_events_dropped_total", "Events lost before the program, by reason.", _P, "reason"),
    _counter("program_stream_events_taken_total", "Events taken from one ring buffer.", _P, _S),
    _gauge("program_stream_events_queued", "Events of one ring buffer that wait.", _P, _S),
    _counter("program_stream_events_delivered_total", "Events of one ring buffer handed over.", _P, _S),
    _counter("program_stream_events_dropped_total", "Events of one ring buffer lost, by reason.", _P, _S, "reason"),
    _counter("program_stream_kernel_losses_total", "Events that one ring buffer refused, where counted.", _P, _S),
    _gauge("program_series", "Series of the program on this page.", _P),
    _counter("program_series_refused_total", "Series refused by the budget.", _P),
    _counter("program_series_lost_writes_total", "Writes to refused or forgotten series.", _P),
    _counter("program_restarts_total", "Restarts of the program.", _P),
    _counter("program_log_lines_dropped_total", "Log lines past the rate limit.", _P),
    _counter("program_late_writes_total", "Writes of instances that were replaced or stuck; they went nowhere.", _P),
    _gauge("kernel_program_up", "Whether the kernel program is loaded and attached.", "kernel_program"),
    _counter(
        "kernel_program_run_seconds_total", "Run time, by function.", "kernel_program", "function", unit="seconds"
    ),
    _counter("kernel_program_runs_total", "Runs, by function.", "kernel_program", "function"),
)
"""Written from the states and costs of programs."""

AGENT: Final = (
    _gauge("build_info", "What this agent is; always 1.", "version", "python", "node"),
    _gauge("ready", "Whether /readyz answers 200."),
    _gauge("ready_reasons", "Lines on /readyz: what is amiss."),
    _gauge("queue_depth", "Events waiting in a queue.", "queue"),
    _counter("queue_events_total", "Events put into a queue.", "queue"),
    _counter("queue_waits_total", "Times that a writer waited for a full queue.", "queue"),
    _counter("queue_readers_let_go_total", "Readers let go because they did not read.", "queue"),
    _counter("reconcile_total", "What was done to bring kernel programs to what is wished, by kind.", "action"),
    _gauge("road_connected", "Whether the kernel daemon answers.", "road"),
    _counter("road_calls_total", "Calls sent to the kernel daemon."),
    _counter("road_errors_total", "Calls to the kernel daemon that failed or were refused."),
    _counter("road_retries_total", "Calls repeated because they had not reached the kernel daemon."),
    _counter("road_reconnects_total", "Times that the kernel daemon was found again."),
    _gauge("kernel_orphans", "Programs in the kernel that look like ours and that the daemon lost."),
    _gauge("kernel_foreign_programs", "Programs that the kernel daemon holds for another agent's identity."),
    _gauge("kernel_links_left_out", "Links into containers past what one program may have on a node."),
    _gauge("images", "Images in the cache."),
    _gauge("image_cache_bytes", "Bytes that the image cache holds.", unit="bytes"),
    _gauge("image_cache_limit_bytes", "The most that the image cache holds.", unit="bytes"),
    _counter("image_cache_hits_total", "Times that an image was found in the cache."),
    _counter("image_cache_misses_total", "Pulls that had to go to a registry."),
    _counter("image_cache_evictions_total", "Images removed to make room."),
    _counter("image_cache_damaged_total", "Files of the cache that were not what their digest names; removed."),
    _counter("image_pulls_total", "Pulls asked for."),
    _counter("image_pull_failures_total", "Pulls that failed."),
    _counter("image_fetched_bytes_total", "Bytes fetched from registries.", unit="bytes"),
    _counter(
        "image_credentials_dropped_total", "Registry credentials forgotten before they served; there were too many."
    ),
    _counter("image_progress_dropped_total", "Words on the progress of pulls that nobody took in time."),
    _gauge("loop_lag_seconds", "How late the event loop last was.", unit="seconds"),
    _counter("page_renders_total", "Pages rendered for scrapes."),
    _counter("page_ready_total", "Renders answered by bytes that were ready."),
    _counter("page_render_seconds_total", "Time spent rendering pages.", unit="seconds"),
    _gauge("page_last_render_seconds", "Duration of the last render.", unit="seconds"),
    _gauge("page_bytes", "Size of the last page as sent.", unit="bytes"),
    _counter("http_requests_total", "HTTP requests answered.", "path", "code"),
    _counter("grpc_calls_total", "gRPC calls that ended.", "method", "code"),
    _gauge("grpc_calls_in_flight", "gRPC calls under way."),
    _gauge("grpc_connections", "Open gRPC connections."),
    _counter("grpc_connections_refused_total", "gRPC connections refused by the peer check or for their number."),
    _counter("process_cpu_seconds_total", "CPU time of the agent.", unit="seconds"),
    _gauge("process_resident_memory_bytes", "Resident memory of the agent.", unit="bytes"),
    _gauge("process_open_fds", "Open descriptors of the agent."),
    _gauge("process_threads", "Threads of the agent."),
    _gauge("process_start_time_seconds", "When the agent started, in Unix seconds.", unit="seconds"),
)
"""Written from the agent's own parts."""


def call_durations(bounds: tuple[float, ...]) -> MetricSpec:
    """Declare the latency of gRPC calls with the buckets in which the gRPC door counts."""
    return MetricSpec(
        name="conductor_grpc_call_duration_seconds",
        kind=MetricKind.HISTOGRAM,
        help="Duration of gRPC calls.",
        unit="seconds",
        labels=("method",),
        buckets=bounds,
    )
