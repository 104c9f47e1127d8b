"""What this process costs, as far as /proc tells it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ProcessUsage", "process_usage"]

_STARTED = time.time() - time.monotonic()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessUsage:
    """CPU, memory and descriptors of this process; None where /proc would not say."""

    cpu_seconds: float
    resident_bytes: int | None = None
    open_fds: int | None = None
    threads: int | None = None
    started: float | None = None
    """Unix seconds."""


def process_usage() -> ProcessUsage:
    """Look at this process now."""
    stat = _stat()
    return ProcessUsage(
        cpu_seconds=time.process_time(),
        open_fds=_open_fds(),
        resident_bytes=int(stat[21]) * os.sysconf("SC_PAGE_SIZE") if stat else None,
        threads=int(stat[17]) if stat else None,
        started=_STARTED + int(stat[19]) / os.sysconf("SC_CLK_TCK") if stat else None,
    )


def _stat() -> list[str]:
    """Fields of /proc/self/stat from the third on (proc(5)); the name before them may hold spaces."""
    try:
        return Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _open_fds() -> int | None:
    try:
        return len(list(Path("/proc/self/fd").iterdir())) - 1  # less the one that lists
    except OSError:
        return None
