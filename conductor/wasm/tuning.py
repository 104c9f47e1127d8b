"""Times of the host that are no budgets of a program; tests make them short."""

from __future__ import annotations

from dataclasses import dataclass

from conductor.wasm.settings import COMPILE_SECONDS

__all__ = ["Tuning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """How long things may take."""

    compile_seconds: float = COMPILE_SECONDS
    throttle_seconds: float = 30.0
    """Throttled for so long without a break, a program is quarantined."""
    wall_seconds: float = 10.0
    """Wall time of one call, beside ten times its CPU limit: for machines that are very busy."""
    watch_seconds: float = 3.0
    """How long an update is watched before the old version is let go."""
    fences: bool | None = None
    """Whether reading rings takes barriers; None: as this processor needs (see `fence.py`)."""
