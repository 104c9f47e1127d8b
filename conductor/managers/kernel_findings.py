"""What one pass of the kernel half found out."""

from __future__ import annotations

from dataclasses import dataclass, field

from conductor.errors import ConductorError
from conductor.model.ids import Name
from conductor.plan.kernel import KernelPlan
from conductor.plan.kernel_links import Unmatched
from conductor.plan.kernel_sets import KernelWant, LoadedSet

__all__ = ["Findings", "InternalFault"]


@dataclass(slots=True)
class Findings:
    """What a pass found out so far."""

    wants: dict[Name, KernelWant] = field(default_factory=dict)
    unmatched: dict[Name, Unmatched] = field(default_factory=dict)
    failures: dict[Name, ConductorError] = field(default_factory=dict)
    hindrances: dict[Name, ConductorError] = field(default_factory=dict)
    """What was not unloaded or detached of programs that run as they should."""
    unanswered: dict[Name, ConductorError] = field(default_factory=dict)
    partial: set[Name] = field(default_factory=set)
    """Of which a link failed and no more: one container or interface must not keep the others waiting."""
    sets: tuple[LoadedSet, ...] = ()
    plan: KernelPlan = field(default_factory=lambda: KernelPlan(actions=(), holding={}))


class InternalFault(ConductorError):
    """A defect of ours met one program. Raised by a pass; the agent's log has the trace."""

    reason = "InternalFault"
