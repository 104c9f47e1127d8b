"""States of programs, as every door shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from conductor.model.grants import Access
from conductor.model.ids import Name, ProgramId
from conductor.model.kernel import KernelFunctionStatus, KernelProgramSpec
from conductor.model.program import Source, UserProgramSpec

__all__ = ["DROP_REASONS", "Condition", "Cost", "KernelStatus", "MapStatus", "ProgramStatus", "State", "StreamCost"]


class State(IntEnum):
    """States on the wire; numbers never change."""

    UNINITIALIZED = 0
    INITIALIZED = 1
    RUNNING = 2
    STOPPED = 3
    FAILED = 4
    PULLING = 5
    UPDATING = 6
    QUARANTINED = 7
    WAITING = 8

    @property
    def word(self) -> str:
        """Spelling in tables, JSON and metrics: Running, Waiting."""
        return self.name.capitalize()


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Where a program stands and why; `message` is one sentence that says what to do."""

    state: State
    reason: str = ""
    message: str = ""
    since: float = 0.0
    """Unix seconds at which `state` or `reason` last changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapStatus:
    """A grant as it stands; `program_id` None means its kernel program is not loaded."""

    name: str
    kernel_program: Name
    map: str
    access: Access
    program_id: ProgramId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramStatus:
    """A user program as it stands."""

    spec: UserProgramSpec
    source: Source
    condition: Condition
    restarts: int = 0
    generation: int = 1
    maps: tuple[MapStatus, ...] = ()
    digest: str = ""

    @property
    def name(self) -> Name:
        """Name of the wish."""
        return self.spec.name

    @property
    def state(self) -> State:
        """Where it stands; `condition` says why and since when."""
        return self.condition.state


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelStatus:
    """A kernel program as it stands."""

    spec: KernelProgramSpec
    source: Source
    condition: Condition
    generation: int = 1
    digest: str = ""
    functions: tuple[KernelFunctionStatus, ...] = ()
    needed_by: tuple[Name, ...] = ()
    """User programs that brought this kernel half along, or are granted its maps."""

    @property
    def name(self) -> Name:
        """Name of the wish."""
        return self.spec.name

    @property
    def state(self) -> State:
        """Where it stands; `condition` says why and since when."""
        return self.condition.state


DROP_REASONS = ("closed", "inbox_full", "quarantined", "too_large", "trap")
"""Why records of a ring are lost on their way to a program: it ended, was slow, broke a budget, cannot hold one, broke."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamCost:
    """The books of one stream: taken = delivered + dropped + queued, always."""

    taken: int = 0
    delivered: int = 0
    queued: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    """By reason."""
    kernel_losses: int | None = None
    """Events that the kernel half could not put into the ring; None where it does not count them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one user program costs; None means unknown, which is never shown as 0."""

    name: Name
    cpu_seconds: float = 0.0
    memory_bytes: int | None = None
    series: int = 0
    series_refused: int = 0
    kernel_run_seconds: float | None = None
    kernel_runs: int | None = None
    events_taken: int = 0
    """From ring buffers: delivered + dropped + queued, always."""
    events_delivered: int = 0
    events_queued: int = 0
    events_dropped: Mapping[str, int] = field(default_factory=dict)
    kernel_losses: int | None = None
    """Events that the kernel half could not hand over; None where it does not count them."""
    streams: Mapping[str, StreamCost] = field(default_factory=dict)
    """The same by stream: the name under which the program was granted the ring."""
    log_lines_dropped: int = 0
    ticks: int = 0
    tick_seconds: float = 0.0
    """Duration of all ticks."""
    last_tick: float | None = None
    """Unix seconds of the last tick that succeeded."""
    last_tick_ok: bool = True
    held_back: int = 0
    """Writes of instances that were replaced or stuck: they went nowhere."""
