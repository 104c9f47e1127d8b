"""Maps as programs see them: what they need, what they are granted, what an opened one is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from conductor.model.ids import MapId, Name

__all__ = ["Access", "MapGrant", "MapInfo", "MapNeed", "MapType"]


class Access(IntEnum):
    """How a grant may be used; the numbers are those of the wire."""

    READ = 0
    """Read-only descriptor (pin 0640)."""
    CONSUME = 1
    """Ring buffers, queues, stacks: reading takes the record away (pin 0660)."""
    READ_WRITE = 2
    """Update and delete too (pin 0660)."""

    @property
    def word(self) -> str:
        """Spelling in manifests and JSON: Read, Consume, ReadWrite."""
        return {0: "Read", 1: "Consume", 2: "ReadWrite"}[int(self)]


class MapType(StrEnum):
    """Map types by the kernel's own names (enum bpf_map_type, without its prefix)."""

    HASH = "hash"
    ARRAY = "array"
    PERCPU_HASH = "percpu_hash"
    PERCPU_ARRAY = "percpu_array"
    LRU_HASH = "lru_hash"
    LRU_PERCPU_HASH = "lru_percpu_hash"
    LPM_TRIE = "lpm_trie"
    QUEUE = "queue"
    STACK = "stack"
    RINGBUF = "ringbuf"
    PERF_EVENT_ARRAY = "perf_event_array"
    STACK_TRACE = "stack_trace"
    OTHER = "other"

    @property
    def is_percpu(self) -> bool:
        """Values hold one 8-byte aligned slot per possible CPU."""
        return self in (MapType.PERCPU_HASH, MapType.PERCPU_ARRAY, MapType.LRU_PERCPU_HASH)


@dataclass(frozen=True, slots=True, kw_only=True)
class MapNeed:
    """A map that a program cannot do without; sizes 0 mean "any"."""

    name: str
    type: MapType
    key_size: int = 0
    value_size: int = 0
    access: Access = Access.READ


@dataclass(frozen=True, slots=True, kw_only=True)
class MapGrant:
    """A map given to a program: its need `name` is `map` of kernel program `kernel_program`."""

    name: str
    kernel_program: Name
    map: str
    access: Access = Access.READ
    as_needed: bool = False
    """`access` is not chosen yet: it becomes what the need asks for, before the grant is kept or used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapInfo:
    """What the kernel says of a map. `value_size` is of one slot; `cpus` slots stand side by side if per-CPU, else 1."""

    id: MapId
    name: str
    type: MapType
    key_size: int
    value_size: int
    max_entries: int
    flags: int = 0
    cpus: int = 1

    @property
    def stride(self) -> int:
        """Bytes of one entry's value as read in user space (slots are rounded up to 8 when per-CPU)."""
        return self.cpus * ((self.value_size + 7) // 8 * 8) if self.type.is_percpu else self.value_size
