"""Protocols between the layers; each belongs to its user, and is kept narrow.

Worlds (`bpf`, `bpfman`, `net`, …) and fakes implement them; `agent.py` puts them together. A map or ring handle is
used by one thread at a time. Addresses are plain integers that point into memory the caller owns and keeps alive:
the kernel reads or writes there, no Python runs per element.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from conductor.model.facts import Container, ContainerProcess, Interface, Workload
from conductor.model.grants import Access, MapInfo, MapNeed
from conductor.model.ids import LinkId, Name, ProgramId
from conductor.model.image import Credentials, ImageKind, ImageStatus, PullProgress, Reference
from conductor.model.kernel import Bytecode, ContainerSelector, KernelFunctionSpec, KernelType, Link, PullPolicy
from conductor.model.metrics import MetricSpec
from conductor.model.program import UserProgramSpec
from conductor.model.status import StreamCost

__all__ = [
    "BreaksBetweenTicks",
    "Containers",
    "Cursor",
    "Entries",
    "ImageSource",
    "Instance",
    "InstanceCost",
    "InterfaceSource",
    "KeepsRecords",
    "Kernel",
    "KernelLoad",
    "KernelLoaded",
    "LogSink",
    "Lookup",
    "MapHandle",
    "MapLayouts",
    "MapOpener",
    "Program",
    "ProgramContext",
    "PulledImage",
    "RingHandle",
    "RoadStatus",
    "Runtime",
    "SeriesSink",
    "StateCell",
]

Ids = NDArray[np.int64]
Values = NDArray[np.float64]


# --- maps ------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Cursor:
    """Where a batched walk of a map stands. Made empty; owned by the walker."""

    token: bytes = b""
    done: bool = False


@dataclass(frozen=True, slots=True)
class Entries:
    """A whole map, copied: `count` keys and values side by side (`info.key_size` and `info.stride` bytes each)."""

    count: int
    keys: memoryview
    values: memoryview


class MapHandle(AbstractContextManager["MapHandle"], Protocol):
    """An opened map. Errors: `KernelRefused` with the kernel's word, `NotAllowed` where the grant does not reach."""

    @property
    def info(self) -> MapInfo: ...
    def entries(self) -> Entries: ...
    def lookup(self, key: bytes) -> bytes | None: ...
    def update(self, key: bytes, value: bytes) -> None: ...
    def delete(self, key: bytes) -> bool: ...
    def batch_into(self, cursor: Cursor, keys: int, values: int, room: int) -> int:
        """Let the kernel write up to `room` entries at two addresses; answer how many. Sets `cursor.done` at the end."""
        ...

    def lookup_into(self, key: int, value: int) -> bool: ...
    def update_from(self, key: int, value: int, flags: int) -> None: ...
    def delete_at(self, key: int) -> bool: ...
    def pop_into(self, value: int) -> bool:
        """Take one element of a queue or stack."""
        ...

    def ring(self) -> RingHandle:
        """Map the pages of a ring buffer (needs `Access.CONSUME`); the handle keeps its own descriptor."""
        ...

    def close(self) -> None: ...


class RingHandle(AbstractContextManager["RingHandle"], Protocol):
    """The mapped pages of a BPF ring buffer. Its data area is mapped twice, so a record never wraps for the reader.

    A record is an 8-byte header (u32 length with BUSY bit 31 and DISCARD bit 30, u32 page offset) and its data,
    rounded up to 8 (kernel/bpf/ringbuf.c). A header's BUSY bit must be seen clear before its data is trusted.
    """

    @property
    def size(self) -> int: ...
    @property
    def data(self) -> int:
        """Address of the data area; position p lies at `data + p % size`."""
        ...

    def positions(self) -> tuple[int, int]:
        """Consumer and producer position, in bytes since the ring was made."""
        ...

    def commit(self, consumer: int) -> None:
        """Give everything before `consumer` back to the kernel."""
        ...

    def fileno(self) -> int:
        """Descriptor that polls readable when records wait."""
        ...

    def close(self) -> None: ...


class MapOpener(Protocol):
    """Open a map by its pin, as far as the file's mode allows (kernel 5.19 without capabilities).

    Raises `MapMissing` (no such pin), `NotAllowed` (mode or group), `KernelRefused`.
    """

    def __call__(self, pin: Path, access: Access) -> MapHandle: ...


class MapLayouts(Protocol):
    """Digest the layouts of the maps that an object file declares, by map name; maps with equal ones can be shared.

    An empty digest is that of a map that belongs to one Load alone. Raises `ObjectUnreadable`.
    """

    async def __call__(self, path: str) -> Mapping[str, str]: ...


# --- the one road to the kernel ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RoadStatus:
    """What stands at the other end of the road."""

    road: str
    """`bpfman`, `embedded` or `none`."""
    flavour: str = ""
    """`loader`, `bpfman-rust`, `bpfman-go`; empty while nobody answers."""
    version: str = ""
    connected: bool = False
    problem: str = ""
    kernel_enforces_grants: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelLoad:
    """One Load: an object with its programs. `path` is a verified file that the daemon can read."""

    path: str
    programs: tuple[KernelFunctionSpec, ...]
    global_data: Mapping[str, bytes] = field(default_factory=dict)
    map_owner: ProgramId | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelLoaded:
    """One loaded program as the daemon lists it."""

    id: ProgramId
    name: str
    type: KernelType | None
    """None where the daemon's numbering does not tell."""
    tag: str = ""
    map_ids: tuple[int, ...] = ()
    map_pin_path: str = ""
    links: tuple[LinkId, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


class Kernel(Protocol):
    """The one road to the kernel (bpfman or our loader). Every call has a deadline of its own.

    Raises `KernelAway` when nobody answers, `KernelRefused`/`VerifierRejected`/`InvalidSpec`/`NotFound` as answered.
    """

    @property
    def status(self) -> RoadStatus: ...
    async def loaded(self, match: Mapping[str, str]) -> tuple[KernelLoaded, ...]:
        """List what the daemon holds with exactly these metadata, links included."""
        ...

    async def unmanaged(self) -> tuple[KernelLoaded, ...] | None:
        """List what the kernel runs and the daemon does not hold; None where the daemon does not tell."""
        ...

    async def load(self, load: KernelLoad) -> tuple[KernelLoaded, ...]: ...
    async def attach(self, program: ProgramId, type_: KernelType, link: Link, interface: str) -> LinkId: ...
    async def detach(self, link: LinkId) -> None: ...
    async def unload(self, program: ProgramId) -> None: ...
    async def run_stats(self) -> Mapping[ProgramId, tuple[float, int]] | None:
        """Seconds run and number of runs by program; None where nobody serves them."""
        ...

    def connection(self) -> AsyncIterator[RoadStatus]:
        """Tell every change of `status`, the present one first; runs for ever."""
        ...


class InterfaceSource(Protocol):
    """Interfaces of this network namespace."""

    async def interfaces(self) -> tuple[Interface, ...]: ...
    def changes(self) -> AsyncIterator[None]:
        """Tell that something changed; runs for ever."""
        ...


class Containers(Protocol):
    """Processes of this host's containers: by its process a daemon reaches a container's files and network namespace."""

    async def processes(self, wanted: Collection[ContainerSelector]) -> tuple[ContainerProcess, ...]:
        """Find the oldest process of each container that any of these selects; what is asked here is watched from now on.

        Raises `NotSupported` where this host does not show its containers.
        """
        ...

    def lives(self, process: ContainerProcess) -> bool:
        """Tell whether that very process lives, and not a later one of the same number."""
        ...

    def changes(self) -> AsyncIterator[None]:
        """Tell that `processes` would answer otherwise now; runs for ever."""
        ...


# --- images ----------------------------------------------------------------------------------------------------------


class PulledImage(Protocol):
    """An image that lies verified in the store."""

    @property
    def digest(self) -> str:
        """What the reference resolved to: pin this."""
        ...

    @property
    def kind(self) -> ImageKind: ...
    @property
    def content(self) -> str:
        """Digest of the file that runs."""
        ...

    @property
    def path(self) -> Path:
        """That file; nothing but a prune or an eviction of what nobody holds removes it."""
        ...

    @property
    def note(self) -> str:
        """What whoever asked should know, such as that a tag moved; mostly empty."""
        ...


class ImageSource(Protocol):
    """Registries and the store of what came from them.

    Raises `ImageNotFound`, `ImageUnusable`, `ImageUntrusted`, `ImageDamaged`, `ImageTooLarge`, `RegistryAway`,
    `RegistryRefused`, `StoreFull`.
    """

    async def pull(
        self,
        reference: Reference,
        kind: ImageKind | None,
        *,
        policy: PullPolicy,
        credentials: Credentials | None = None,
        progress: Callable[[PullProgress], None] = ...,
    ) -> PulledImage:
        """Bring an image into the store, or find it there as the policy allows. `kind` None takes either."""
        ...

    async def check(self, digests: Collection[str]) -> None:
        """Read what is pinned before it is asked for; what is damaged is removed."""
        ...

    def held(self, digest: str) -> PulledImage | None:
        """Find in the store what was pulled by this manifest's digest; its bytes are checked once per process."""
        ...

    def images(self, in_use: Collection[str]) -> tuple[ImageStatus, ...]:
        """List the store; `in_use` are digests of manifests that somebody needs."""
        ...

    def keep(self, in_use: Collection[str]) -> None:
        """Say which digests no eviction may touch."""
        ...

    async def prune(self, in_use: Collection[str]) -> tuple[ImageStatus, ...]:
        """Remove what is not in use; answer what went."""
        ...


# --- what programs are given ------------------------------------------------------------------------------------------


class SeriesSink(Protocol):
    """One program's series in the store. Writes come from one thread at a time; a snapshot may be taken at any moment.

    Rows of label values become ids once (`intern`), then whole arrays are written. An id of -1 means the row was
    refused by the series budget; writes to -1 are ignored and counted.
    """

    def declare(self, metric: MetricSpec) -> int:
        """Declare a family, answer its handle; the same spec again gives the same handle. Raises `MetricClash`."""
        ...

    def intern(self, metric: int, rows: Sequence[Sequence[str]]) -> Ids:
        """Ids of label rows, made where new (value 0, not shown before its first write)."""
        ...

    def set(self, ids: Ids, values: Values) -> None: ...
    def add(self, ids: Ids, values: Values) -> None: ...
    def observe(self, ids: Ids, values: Values) -> None:
        """Put each value into its histogram series."""
        ...

    def merge(self, ids: Ids, buckets: NDArray[np.float64], sums: Values) -> None:
        """Add pre-binned counts: one row of `len(spec.buckets) + 1` counts (not cumulative, last is +Inf) per id."""
        ...

    def set_bins(self, ids: Ids, buckets: NDArray[np.float64], sums: Values) -> None:
        """As `merge`, but the row replaces what stood there (kernel histograms are totals already)."""
        ...

    def remove(self, ids: Ids) -> None: ...


class Lookup(Protocol):
    """Shared facts, answered for whole arrays. Addresses are 16 bytes each, IPv4 as v4-mapped."""

    def workloads(self, addresses: Sequence[bytes]) -> list[Workload | None]: ...
    def containers(self, cgroup_ids: Sequence[int]) -> list[Container | None]: ...
    def is_local(self, addresses: Sequence[bytes]) -> list[bool]:
        """Whether an address belongs to an interface of this host."""
        ...


class LogSink(Protocol):
    """A program's log: rate-limited, shown by `conductor logs`. Level: debug, info, warning, error."""

    def __call__(self, level: str, message: str) -> None: ...


class StateCell(Protocol):
    """A program's small durable state (at most 8 MiB): atomic, survives kill -9; empty after Unload."""

    def load(self) -> bytes | None: ...
    def store(self, state: bytes) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramContext:
    """Everything a program is given; there is nothing else it may reach."""

    name: Name
    config: Mapping[str, Any]
    maps: Mapping[str, MapHandle]
    series: SeriesSink
    lookup: Lookup
    log: LogSink
    state: StateCell


class Program(Protocol):
    """One running built-in. All calls come on its own worker thread, one at a time; blocking is allowed, bounded."""

    @property
    def interval(self) -> float:
        """Seconds between ticks."""
        ...

    def tick(self) -> None:
        """Read what is to be read and write series. Raising marks this tick failed; the program goes on."""
        ...

    def close(self) -> None: ...


# --- runtimes: built-in and wasm behind one face ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceCost:
    """Cost of one instance since it was opened."""

    cpu_seconds: float = 0.0
    memory_bytes: int | None = None
    """None where nobody can tell: a built-in shares the process's memory."""
    events_taken: int = 0
    """From rings: delivered + dropped + queued, always."""
    events_delivered: int = 0
    events_queued: int = 0
    events_dropped: Mapping[str, int] = field(default_factory=dict)
    kernel_losses: int | None = None
    """Events that the kernel half could not hand over; None where it does not count them."""
    streams: Mapping[str, StreamCost] = field(default_factory=dict)
    """Events by stream: the name under which the program was granted the ring."""


class Instance(Protocol):
    """One running instance of a user program, whatever it is written in."""

    @property
    def interval(self) -> float: ...
    async def tick(self) -> None:
        """Run one tick off the event loop. Raises `ProgramCrashed` when the instance is beyond use."""
        ...

    def cost(self) -> InstanceCost: ...
    async def close(self) -> None:
        """Save state and end; returns within 5 s even if the program does not."""
        ...


@runtime_checkable
class BreaksBetweenTicks(Protocol):
    """An instance that is fed events too, and may be beyond use before its next tick."""

    def when_broken(self, wake: Callable[[], object]) -> None:
        """Have `wake` called, on any thread, when that happens: the next tick then raises why."""
        ...


@runtime_checkable
class KeepsRecords(Protocol):
    """A runtime that keeps the records which waited for an instance that ended, for the next one of that program."""

    async def forget(self, name: Name) -> None:
        """Drop what is kept: the program was unloaded."""
        ...


class Runtime(Protocol):
    """Knows how to run one kind of user program."""

    async def needs(self, spec: UserProgramSpec) -> tuple[MapNeed, ...]:
        """What the program cannot do without. Raises `NotFound`, `InvalidSpec` (config too), `ObjectUnreadable`."""
        ...

    def metrics(self, spec: UserProgramSpec) -> tuple[MetricSpec, ...]:
        """Families it will declare, as far as they are known before it runs."""
        ...

    def kernel_half(self, spec: UserProgramSpec) -> tuple[Bytecode, tuple[KernelFunctionSpec, ...]] | None:
        """The kernel half that comes along when no map is granted; None where there is none."""
        ...

    async def open(self, spec: UserProgramSpec, context: ProgramContext, old: Instance | None) -> Instance:
        """Start an instance; `old` is the one it takes over from and goes on running until told to close."""
        ...

    def problems(self) -> tuple[str, ...]:
        """What is amiss with the runtime itself, a sentence each."""
        ...
