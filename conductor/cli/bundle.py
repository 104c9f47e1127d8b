"""The archive that `doctor --bundle` writes: what a bug report needs, with everything that could be a secret taken out."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
import os
import platform
import re
import tarfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conductor import __version__
from conductor.cli import shapes
from conductor.config import Config
from conductor.errors import ConductorError, StateUnwritable

if TYPE_CHECKING:
    from conductor.client import Agent

__all__ = ["pack", "redacted", "redacted_text"]

HIDDEN = "[redacted]"
_LINES = 200
_NAME = re.compile(
    r"pass(word|wd|phrase)?$|passw|secret|token|credential|authorization|auth$|api_?-?key|private_?-?key|cookie",
    re.IGNORECASE,
)
_IN_TEXT = (
    (re.compile(r"-----BEGIN [A-Z ]+-----.*?(-----END [A-Z ]+-----|\Z)", re.DOTALL), HIDDEN),
    (re.compile(r"(\w+://)[^/\s@]+@"), rf"\1{HIDDEN}@"),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]+", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), HIDDEN),
    (
        re.compile(
            r"""((?:pass(?:word|wd|phrase)?|secret|token|credentials?|authorization|api[_-]?key)["']?\s*[:=]\s*)("[^"]*"|'[^']*'|[^\s,;}&]+)""",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
)


def redacted(value: Any) -> Any:
    """The value with what is named like a secret, or looks like one, taken out."""
    match value:
        case Mapping():
            return {key: HIDDEN if _NAME.search(str(key)) else redacted(item) for key, item in value.items()}
        case list() | tuple():
            return [redacted(item) for item in value]
        case str():
            return redacted_text(value)
        case int() | float() | None:
            return value
        case _:
            return redacted_text(str(value))


def redacted_text(text: str) -> str:
    """Text with keys, tokens and passwords taken out."""
    for pattern, replacement in _IN_TEXT:
        text = pattern.sub(replacement, text)
    return text


async def pack(path: Path, config: Config, findings: Mapping[str, Any]) -> None:
    """Write the archive, for its owner alone. Raises `StateUnwritable`."""
    documents = {"doctor.json": findings, "machine.json": _machine(), "settings.json": _settings(config)}
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
            for name, document in documents.items():
                _add(archive, name, document)
            async for name, document in _from_agent(config.agent_socket):
                _add(archive, name, document)
    except OSError as exc:
        raise StateUnwritable(f"{path}: {exc.strerror}") from exc


def _add(archive: tarfile.TarFile, name: str, document: Any) -> None:
    content = (json.dumps(redacted(document), indent=2, ensure_ascii=False) + "\n").encode()
    entry = tarfile.TarInfo(f"conductor/{name}")
    entry.size, entry.mtime, entry.mode = len(content), int(time.time()), 0o600
    archive.addfile(entry, io.BytesIO(content))


def _machine() -> dict[str, Any]:
    return {
        "conductor": __version__,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", "") if Path("/etc/os-release").exists() else "",
        "mounts": [
            line for line in Path("/proc/mounts").read_text().splitlines() if " bpf " in line or "tracefs" in line
        ],
        "cgroup": Path("/proc/self/cgroup").read_text().splitlines(),
    }


def _settings(config: Config) -> dict[str, Any]:
    """Settings that `repr` would show: paths that lead to credentials are left out."""
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config) if field.repr}


async def _from_agent(path: Path) -> AsyncIterator[tuple[str, Any]]:
    """What a living agent says; each answer that fails is named instead of ending the archive."""
    from conductor.client import Agent  # noqa: PLC0415 - as elsewhere

    try:
        async with Agent.connect(path) as agent:
            for name, ask in _QUESTIONS.items():
                yield f"{name}.json", await _answer(ask(agent))
            for name in [status.spec.name for status in await agent.list()]:
                yield f"logs/{name}.json", await _answer(_log(agent, name))
    except (ConductorError, OSError) as exc:
        yield "agent-unreachable.json", {"error": str(exc)}


async def _answer(asked: Awaitable[Any]) -> Any:
    try:
        async with asyncio.timeout(10):
            return await asked
    except (ConductorError, TimeoutError) as exc:
        return {"error": f"{type(exc).__name__}: {exc}"}


async def _information(agent: Agent) -> Any:
    return shapes.information(await agent.info())


async def _programs(agent: Agent) -> Any:
    return [shapes.program(status) for status in await agent.list()]


async def _kernel(agent: Agent) -> Any:
    return [shapes.kernel(info) for info in await agent.list_kernel()]


async def _usage(agent: Agent) -> Any:
    return dataclasses.asdict(await agent.usage())


async def _log(agent: Agent, name: str) -> Any:
    return [shapes.log_line(line) async for line in agent.logs(name, tail=_LINES)]


_QUESTIONS: dict[str, Callable[[Agent], Awaitable[Any]]] = {
    "agent": _information,
    "programs": _programs,
    "kernel": _kernel,
    "usage": _usage,
}
