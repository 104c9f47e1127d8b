"""What an agent tells on the wire: Info, Usage, Logs, Watch, Apply, ListAvailable."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from conductor.api.wire.images import progress_from_wire, progress_to_wire
from conductor.api.wire.user import status_from_wire, status_to_wire
from conductor.api.wire.values import enum_from_wire, milliseconds, seconds
from conductor.errors import InvalidSpec
from conductor.model.agent import AgentInfo, Available, Change, LogLine, Usage, WatchEvent, WatchType
from conductor.model.grants import Access, MapNeed, MapType
from conductor.model.ids import Name
from conductor.model.metrics import MetricKind, MetricSpec
from conductor.model.program import ProgramType
from conductor.model.status import Cost, State, StreamCost
from conductor.proto.agent import v1 as pb

__all__ = [
    "available_from_wire",
    "available_to_wire",
    "change_from_wire",
    "change_to_wire",
    "info_from_wire",
    "info_to_wire",
    "log_line_from_wire",
    "log_line_to_wire",
    "usage_from_wire",
    "usage_to_wire",
    "watch_event_from_wire",
    "watch_event_to_wire",
]

_INFO = ("version", "node", "road", "flavour", "road_version", "road_connected", "road_problem", "http_address")


def info_to_wire(info: AgentInfo) -> pb.InfoResponse:
    """Print the agent's state."""
    return pb.InfoResponse(
        **{name: getattr(info, name) for name in _INFO},
        features=list(info.features),
        started=milliseconds(info.started),
        ready=info.ready,
        reasons=list(info.reasons),
        pid=info.pid,
    )


def info_from_wire(msg: pb.InfoResponse) -> AgentInfo:
    """Parse the agent's state."""
    return AgentInfo(
        **{name: getattr(msg, name) for name in _INFO},
        features=tuple(msg.features),
        started=seconds(msg.started),
        ready=msg.ready,
        reasons=tuple(msg.reasons),
        pid=msg.pid,
    )


def usage_to_wire(costs: Iterable[Cost], states: Mapping[Name, State], time: float) -> pb.UsageResponse:
    """Print what programs cost; a cost without a state belongs to a program that just went."""
    programs = [_cost_to_wire(cost, states[cost.name]) for cost in costs if cost.name in states]
    return pb.UsageResponse(programs=programs, time=milliseconds(time))


def usage_from_wire(msg: pb.UsageResponse) -> Usage:
    """Parse what programs cost. Raises `InvalidSpec`."""
    states = {Name(p.name): enum_from_wire(State, p.state, "state") for p in msg.programs}
    return Usage(time=seconds(msg.time), costs=tuple(_cost_from_wire(p) for p in msg.programs), states=states)


def log_line_to_wire(line: LogLine) -> pb.LogLine:
    """Print a log line."""
    return pb.LogLine(program=line.program, time=milliseconds(line.time), level=line.level, message=line.message)


def log_line_from_wire(msg: pb.LogLine) -> LogLine:
    """Parse a log line."""
    return LogLine(program=Name(msg.program), time=seconds(msg.time), level=msg.level, message=msg.message)


def watch_event_to_wire(event: WatchEvent) -> pb.WatchEvent:
    """Print an event."""
    msg = pb.WatchEvent(type=event.type.value)
    if event.status is not None:
        msg.info = status_to_wire(event.status)
    if event.progress is not None:
        msg.progress = progress_to_wire(event.progress)
    return msg


def watch_event_from_wire(msg: pb.WatchEvent) -> WatchEvent:
    """Parse an event. Raises `InvalidSpec`."""
    try:
        kind = WatchType(msg.type)
    except ValueError:
        raise InvalidSpec("type", f"{msg.type[:40]!r} is unknown: {', '.join(WatchType)}") from None
    if kind is WatchType.PULLING:
        return WatchEvent(type=kind, progress=progress_from_wire(msg.progress))
    return WatchEvent(type=kind, status=None if kind is WatchType.SYNCED else status_from_wire(msg.info))


def change_to_wire(change: Change) -> pb.ApplyResult:
    """Print one line of an apply."""
    return pb.ApplyResult(kind=change.kind, name=change.name, action=change.action, diff=change.diff)


def change_from_wire(msg: pb.ApplyResult) -> Change:
    """Parse one line of an apply."""
    return Change(kind=msg.kind, name=msg.name, action=msg.action, diff=msg.diff)


def available_to_wire(available: Available) -> pb.AvailableProgram:
    """Print a program that could be loaded."""
    return pb.AvailableProgram(
        name=available.name,
        program_type=int(available.type),
        description=available.description,
        maps=[pb.AvailableMap(name=n.name, type=n.type.value, access=int(n.access)) for n in available.needs],
        metrics=[pb.AvailableMetric(name=m.name, type=m.kind.value, help=m.help) for m in available.metrics],
        config_schema=json.dumps(dict(available.config_schema)) if available.config_schema else "",
    )


def available_from_wire(msg: pb.AvailableProgram) -> Available:
    """Parse a program that could be loaded; sizes of maps and labels of metrics are not on the wire."""
    return Available(
        name=msg.name,
        type=enum_from_wire(ProgramType, msg.program_type, "program_type"),
        description=msg.description,
        needs=tuple(_need_from_wire(need) for need in msg.maps),
        metrics=tuple(MetricSpec(name=m.name, kind=MetricKind(m.type), help=m.help) for m in msg.metrics),
        config_schema=json.loads(msg.config_schema or "{}"),
    )


def _need_from_wire(msg: pb.AvailableMap) -> MapNeed:
    return MapNeed(name=msg.name, type=MapType(msg.type), access=enum_from_wire(Access, msg.access, "access"))


def _cost_to_wire(cost: Cost, state: State) -> pb.ProgramUsage:
    return pb.ProgramUsage(
        name=cost.name,
        state=int(state),
        cpu_seconds=cost.cpu_seconds,
        memory_bytes=cost.memory_bytes,
        series=cost.series,
        series_refused=cost.series_refused,
        kernel_run_seconds=cost.kernel_run_seconds,
        kernel_runs=cost.kernel_runs,
        events_delivered=cost.events_delivered,
        events_dropped=dict(cost.events_dropped),
        log_lines_dropped=cost.log_lines_dropped,
        ticks=cost.ticks,
        tick_seconds=cost.tick_seconds,
        events_taken=cost.events_taken,
        events_queued=cost.events_queued,
        kernel_losses=cost.kernel_losses,
        streams={name: _stream_to_wire(stream) for name, stream in cost.streams.items()},
    )


def _cost_from_wire(msg: pb.ProgramUsage) -> Cost:
    return Cost(
        name=Name(msg.name),
        cpu_seconds=msg.cpu_seconds,
        memory_bytes=msg.memory_bytes,
        series=msg.series,
        series_refused=msg.series_refused,
        kernel_run_seconds=msg.kernel_run_seconds,
        kernel_runs=msg.kernel_runs,
        events_delivered=msg.events_delivered,
        events_dropped=dict(msg.events_dropped),
        log_lines_dropped=msg.log_lines_dropped,
        ticks=msg.ticks,
        tick_seconds=msg.tick_seconds,
        events_taken=msg.events_taken,
        events_queued=msg.events_queued,
        kernel_losses=msg.kernel_losses,
        streams={name: _stream_from_wire(stream) for name, stream in msg.streams.items()},
    )


def _stream_to_wire(cost: StreamCost) -> pb.StreamUsage:
    return pb.StreamUsage(
        taken=cost.taken,
        delivered=cost.delivered,
        queued=cost.queued,
        dropped=dict(cost.dropped),
        kernel_losses=cost.kernel_losses,
    )


def _stream_from_wire(msg: pb.StreamUsage) -> StreamCost:
    return StreamCost(
        taken=msg.taken,
        delivered=msg.delivered,
        queued=msg.queued,
        dropped=dict(msg.dropped),
        kernel_losses=msg.kernel_losses,
    )
