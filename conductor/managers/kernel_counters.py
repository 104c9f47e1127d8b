"""What was done to the kernel, counted."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["KernelCounters"]


@dataclass(slots=True)
class KernelCounters:
    """What was done to the kernel since the start; plain numbers for metrics."""

    loads: int = 0
    unloads: int = 0
    attaches: int = 0
    detaches: int = 0
    adoptions: int = 0
    replaces: int = 0
    handovers: int = 0
    rollbacks: int = 0
    passes: int = 0
    failures: int = 0
