"""Documents that commands print: JSON shapes that scripts rely on, and the rows of their tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, assert_never

from conductor.model.agent import AgentInfo, Available, Change, KernelInfo, LogLine
from conductor.model.kernel import PathObject
from conductor.model.program import BuiltinSource, WasmSource
from conductor.model.status import Condition, ProgramStatus

__all__ = ["age", "available", "bytecode", "change", "information", "kernel", "log_line", "program", "timestamp"]

Document = dict[str, Any]


def program(status: ProgramStatus) -> Document:
    """A user program as every document shows it."""
    spec = status.spec
    return {
        "name": spec.name,
        "type": spec.type.word,
        "builtin": spec.source.name if isinstance(spec.source, BuiltinSource) else "",
        **_condition(status.condition),
        "restarts": status.restarts,
        "generation": status.generation,
        "maps": [
            {"name": m.name, "kernelProgram": m.kernel_program, "programId": m.program_id, "access": m.access.word}
            for m in status.maps
        ],
        "metadata": dict(spec.metadata),
        "config": dict(spec.config),
        "bytecode": bytecode(spec.source),
        "digest": status.digest,
        "source": status.source.word,
    }


def kernel(info: KernelInfo) -> Document:
    """A kernel program."""
    return {
        "name": info.name,
        **_condition(info.condition),
        "generation": info.generation,
        "functions": [_camel(dataclasses.asdict(function)) for function in info.functions],
        "neededBy": list(info.needed_by),
        "metadata": dict(info.metadata),
        "bytecode": info.bytecode,
        "digest": info.digest,
        "source": info.source.word,
    }


def available(one: Available) -> Document:
    """A program that could be loaded."""
    return {
        "name": one.name,
        "type": one.type.word,
        "description": one.description,
        "needs": [{"name": n.name, "type": n.type.value, "access": n.access.word} for n in one.needs],
        "metrics": [{"name": m.name, "type": m.kind.value, "help": m.help} for m in one.metrics],
        "configSchema": dict(one.config_schema),
    }


def change(one: Change) -> Document:
    """One line of an apply, delete or diff."""
    return {"kind": one.kind, "name": one.name, "action": one.action, "diff": one.diff}


def log_line(line: LogLine) -> Document:
    """One line of a program's log."""
    return {"program": line.program, "time": timestamp(line.time), "level": line.level, "message": line.message}


def information(info: AgentInfo) -> Document:
    """The agent itself."""
    document: Document = _camel(dataclasses.asdict(info))
    return document | {"started": timestamp(info.started)}


def bytecode(source: BuiltinSource | WasmSource) -> str:
    """Where a program's bytes come from; empty for a built-in."""
    match source:
        case BuiltinSource():
            return ""
        case WasmSource(location=location):
            return location.path or location.digest if isinstance(location, PathObject) else location.url
        case _:
            assert_never(source)


def timestamp(seconds: float) -> str | None:
    """RFC 3339 with milliseconds; None for a time that never was."""
    if not seconds:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def age(since: float, now: float) -> str:
    """A span as a person says it: 7s, 4m, 3h, 12d; empty for a time that never was."""
    if not since:
        return ""
    seconds = max(0, int(now - since))
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _condition(condition: Condition) -> Document:
    return {
        "state": condition.state.word,
        "reason": condition.reason,
        "message": condition.message,
        "since": timestamp(condition.since),
    }


def _camel(value: Any) -> Any:
    """Spell the keys of nested values as JSON does here; what is unknown stays null."""
    match value:
        case Mapping():
            return {_camel_word(key): _camel(item) for key, item in value.items()}
        case list() | tuple():
            return [_camel(item) for item in value]
        case _:
            return value


def _camel_word(word: str) -> str:
    head, *tail = word.split("_")
    return head + "".join(part.capitalize() for part in tail)
