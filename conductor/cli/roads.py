"""Who answers on a daemon's socket, what it can do, and who keeps a program within its grants there."""

from __future__ import annotations

import asyncio
from pathlib import Path

from conductor.errors import ConductorError

__all__ = ["Told", "ask", "grants_of"]

Told = tuple[str, str, str]
"""Flavour with version; what it can and cannot do; who enforces grants."""

_DISPATCHERS = "XDP and TC go through a dispatcher, which needs replaceable functions (freplace) of the kernel"
_OURS = "by the agent: the daemon's pins let it write; `conductor loader --assist` has the kernel enforce them"
_WORDS: dict[str, tuple[str, str]] = {
    "loader": ("every type of bpfman's API, maps shared between programs, runs counted", "by the kernel"),
    "bpfman-rust": (f"every type but LSM; no maps shared between programs; {_DISPATCHERS}", _OURS),
    "bpfman-go": (
        f"every type, maps shared between programs; {_DISPATCHERS}",
        "by the kernel, once `conductor loader --assist` gives the agent its pins; without it, it reaches none",
    ),
    "assistant": ("loads nothing: gives the agent bpfman's pins and run times", "by the kernel"),
}


def ask(socket: Path) -> Told | ConductorError:
    """Ask who answers, without side effect; the error says why nobody could be told."""
    return asyncio.run(_ask(socket))


def grants_of(flavour: str) -> str:
    """Say who enforces grants on a road of this flavour."""
    return _WORDS[flavour][1] if flavour in _WORDS else "by the agent"


async def _ask(socket: Path) -> Told | ConductorError:
    from conductor.bpfman.channel import OneConnection  # noqa: PLC0415 - grpclib is slow to import
    from conductor.bpfman.flavour import probe  # noqa: PLC0415 - as above

    channel = OneConnection(socket=socket)
    try:
        daemon = await probe(channel)
    except ConductorError as error:
        return error
    finally:
        channel.close()
    can, grants = _WORDS[daemon.flavour.value]
    return " ".join(filter(None, (daemon.flavour.value, daemon.version))), can, grants
