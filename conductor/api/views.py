"""User programs as JSON: one shape, the same that the command line prints."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, assert_never

from conductor.model.kernel import ImageObject, PathObject
from conductor.model.program import BuiltinSource, WasmSource
from conductor.model.status import ProgramStatus

__all__ = ["program_view", "timestamp"]


def program_view(status: ProgramStatus) -> dict[str, Any]:
    """A user program as a JSON object."""
    spec, condition = status.spec, status.condition
    return {
        "name": spec.name,
        "type": spec.type.word,
        "builtin": spec.source.name if isinstance(spec.source, BuiltinSource) else "",
        "state": condition.state.word,
        "reason": condition.reason,
        "message": condition.message,
        "since": timestamp(condition.since),
        "restarts": status.restarts,
        "generation": status.generation,
        "maps": [
            {"name": m.name, "kernelProgram": m.kernel_program, "programId": m.program_id, "access": m.access.word}
            for m in status.maps
        ],
        "metadata": dict(spec.metadata),
        "config": dict(spec.config),
        "bytecode": _bytecode(spec.source),
        "digest": status.digest,
        "source": status.source.word,
    }


def timestamp(seconds: float) -> str | None:
    """RFC 3339 with milliseconds; None for a time that never was."""
    if not seconds:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _bytecode(source: BuiltinSource | WasmSource) -> str:
    """Where a program's bytes come from; empty for a built-in."""
    if isinstance(source, BuiltinSource):
        return ""
    match source.location:
        case PathObject(path=path, digest=digest):
            return path or digest
        case ImageObject(url=url):
            return url
        case _:
            assert_never(source.location)
