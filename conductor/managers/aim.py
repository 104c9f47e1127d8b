"""Where one program should be brought."""

from __future__ import annotations

from dataclasses import dataclass, field

from conductor.model.program import Source, UserProgramSpec
from conductor.plan.halves import Resolved

__all__ = ["Aim"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """Where a program should be brought."""

    spec: UserProgramSpec
    source: Source
    generation: int = 1
    stopped: bool = False
    overlap: bool = field(default=True, compare=False)
    resolved: Resolved | None = field(default=None, compare=False)
    """Known when the spec was checked already."""
