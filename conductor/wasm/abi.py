"""The ABI `conductor_v1`, defined once (structures in `layouts.py`): docs/abi.md and the headers in sdk/ are checked.

Conventions. Everything is little-endian. A pointer is an i32 into the guest's memory, a size or count an i32 that is
never negative. A call answers a number of things (0 or more) or one of `Error`, which is negative; nothing was done
then unless the import's text says otherwise. Everything moves in batches: arrays in, arrays out. Handles are small
numbers of that instance alone.

Versioning. A module says its version in the custom section `conductor_v1.needs`. Within version 1 imports may be added
and error codes too (treat an unknown negative number as `KERNEL`); signatures, layouts and numbers never change.

Threading. An instance is called by one host thread at a time, not always the same one. Exports are never re-entered.
While the module's start section runs, imports answer `STATE`; in `_initialize` and later they work.

Bounds. An import takes at most `ROWS_MOST` rows, keys or values in one call (`ARGUMENT` beyond; `map_batch` has no such
bound). Ids that are not this instance's answer `HANDLE`, and nothing is written then.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

__all__ = [
    "EXPORTS",
    "IMPORTS",
    "MODULE",
    "NEEDS_SECTION",
    "ROWS_MOST",
    "VERSION",
    "Error",
    "Function",
    "Level",
    "MapKind",
    "Operation",
    "Type",
]

MODULE = "conductor_v1"
"""Import module of everything below."""
VERSION = 1
NEEDS_SECTION = "conductor_v1.needs"
"""Custom section with what the module cannot do without, as JSON (see `needs.py`)."""


ROWS_MOST = 65_536
"""Rows, keys or values that one call may carry."""


class Error(IntEnum):
    """Negative answers of imports."""

    MEMORY = -1
    """A pointer and size reach outside the guest's memory, or are misaligned where alignment is asked for."""
    HANDLE = -2
    """No such handle, or one of another kind."""
    ARGUMENT = -3
    """A value is out of its range, or text is not UTF-8."""
    DENIED = -4
    """The grant does not allow it."""
    NOT_FOUND = -5
    """No such map, key or saved state."""
    NO_ROOM = -6
    """The buffer is too small for one unit (an entry bucket, a row): call again with more."""
    FULL = -7
    """The map is full."""
    UNSUPPORTED = -8
    """This type of map does not know the operation."""
    BUDGET = -9
    """A budget of this program is spent: map operations, handles, metrics, state size."""
    KERNEL = -10
    """The kernel refused; the program's log has its word."""
    STATE = -11
    """Not at this moment: called outside a call of the host, or declared again with another meaning."""


class Operation(IntEnum):
    """What `metric_write` and `metric_bins` do with the values."""

    SET = 0
    ADD = 1
    OBSERVE = 2
    """Put each value into its histogram (`metric_write` only)."""


class Level(IntEnum):
    """Severity of a log line."""

    DEBUG = 0
    INFO = 1
    WARNING = 2
    ERROR = 3


class MapKind(IntEnum):
    """`map_info.type`: the kernel's numbers (enum bpf_map_type)."""

    HASH = 1
    ARRAY = 2
    PERF_EVENT_ARRAY = 4
    PERCPU_HASH = 5
    PERCPU_ARRAY = 6
    STACK_TRACE = 7
    LRU_HASH = 9
    LRU_PERCPU_HASH = 10
    LPM_TRIE = 11
    QUEUE = 22
    STACK = 23
    RINGBUF = 27
    OTHER = 0


class Type(IntEnum):
    """Value types of signatures."""

    I32 = 0
    I64 = 1


@dataclass(frozen=True, slots=True)
class Function:
    """An import or export: name, parameters by name, result, and what it does."""

    name: str
    parameters: tuple[tuple[str, Type], ...]
    result: Type
    text: str
    required: bool = False
    """Exports only: a module without it is refused."""


def _function(name: str, parameters: str, text: str, *, required: bool = False, result: Type = Type.I32) -> Function:
    """Parameters are written `a b c` (i32 each) or `a:64`."""
    parsed = tuple(
        (word.removesuffix(":64"), Type.I64 if word.endswith(":64") else Type.I32) for word in parameters.split()
    )
    return Function(name, parsed, result, text, required)


IMPORTS: tuple[Function, ...] = (
    _function("map_open", "name name_size", "Open the granted map of that need; answers its handle."),
    _function("map_info", "map out", "Write a `map_info` at `out`; answers 0."),
    _function("map_rewind", "map", "Begin the walk of `map_batch` anew; answers 0."),
    _function(
        "map_batch",
        "map keys values room",
        "Let the kernel write up to `room` entries at `keys` and `values`; answers how many, 0 at the end, after which "
        "the next call begins anew. `keys` and `values` are 8-byte aligned. NO_ROOM: one bucket of a hash map is larger.",
    ),
    _function(
        "map_lookup",
        "map keys count values found",
        "Look up `count` keys; value i is written at values + i * stride and found[i] (a byte) is 1 or 0. Answers how "
        "many were found.",
    ),
    _function(
        "map_update",
        "map keys values count flags",
        "Write `count` entries (flags: 0 any, 1 only new, 2 only present). Answers how many were written; on an error "
        "those before it stay, and the error is answered only if it is the first entry's.",
    ),
    _function("map_delete", "map keys count", "Delete `count` keys; answers how many were there."),
    _function("map_pop", "map values room", "Take up to `room` elements of a queue or stack; answers how many."),
    _function(
        "stream_open",
        "map buffer size",
        "Have the records of a ring buffer copied to `buffer` and told by the export `conductor_v1_events`; answers the "
        "stream's number. The buffer is the host's from now on, between the calls; 8-byte aligned, 4 KiB at least. Only while "
        "the program starts (STATE later), once per map. UNSUPPORTED for anything but a ring buffer.",
    ),
    _function(
        "metric_declare",
        "json json_size",
        'Declare a metric: {"name", "type": "counter"|"gauge"|"histogram", "help", "unit", "labels": [...], "buckets": '
        '[...], "ttl"}; answers its number. The same again answers the same number.',
    ),
    _function(
        "metric_series",
        "metric rows rows_size count ids",
        "Intern `count` rows of label values; each value is a u32 size and its UTF-8 bytes, without padding. Writes one "
        "i32 per row at `ids`: the series' number, or -1 where the series budget refused it. Answers how many are usable.",
    ),
    _function(
        "metric_write",
        "operation ids values count",
        "Write `count` f64 `values` (8-byte aligned) to the series `ids` (i32; -1 is skipped and counted). Answers count.",
    ),
    _function(
        "metric_bins",
        "operation metric ids bins sums count",
        "Write pre-binned histograms: for each series one row of buckets + 1 f64 counts (not cumulative, last is +Inf) at "
        "`bins` and one f64 at `sums`. SET replaces, ADD adds. Answers count.",
    ),
    _function("metric_remove", "ids count", "Take series off the page; their numbers are void. Answers count."),
    _function(
        "lookup_workloads",
        "addresses count out room",
        "Tell who stands behind `count` addresses (16 bytes each, IPv4 as v4-mapped): per address kind, namespace and name, "
        "each a u32 size and UTF-8 bytes; all three empty where unknown. Answers the bytes needed; nothing is written if "
        "that is more than `room`.",
    ),
    _function(
        "lookup_containers",
        "cgroup_ids count out room",
        "Tell the containers of `count` cgroup ids (u64 each): per id container id and pod UID, each a u32 size and UTF-8 "
        "bytes; empty where unknown. Answers the bytes needed; nothing is written if that is more than `room`.",
    ),
    _function(
        "lookup_local",
        "addresses count out",
        "Write a byte per address: 1 if it belongs to an interface of this host. Answers how many do.",
    ),
    _function(
        "config_read",
        "out room",
        "Copy the program's config (a JSON object); answers its size, nothing is written if that is more than `room`.",
    ),
    _function("log", "level text text_size", "Write a log line; answers 1, or 0 where the rate limit dropped it."),
    _function(
        "state_read",
        "out room",
        "Copy the saved state; answers its size (nothing is written if that is more than `room`) or NOT_FOUND.",
    ),
    _function("state_write", "data data_size", "Save state, durable when this answers 0."),
    _function("clock", "kind", "Nanoseconds: kind 0 since 1970, 1 monotonic.", result=Type.I64),
    _function("random", "out size", "Fill `out` with random bytes; answers size."),
)

EXPORTS: tuple[Function, ...] = (
    _function("_initialize", "", "Run first, once: a language's runtime and static constructors (WASI reactor)."),
    _function(
        "conductor_v1_start",
        "",
        "Run once after `_initialize`: open maps and streams, declare metrics, read saved state. Not 0: the program failed.",
    ),
    _function(
        "conductor_v1_tick",
        "now:64",
        "Run every interval; `now` is monotonic nanoseconds. Not 0: this tick failed, the program goes on.",
        required=True,
    ),
    _function(
        "conductor_v1_events",
        "stream buffer size records",
        "Take the records that lie in the stream's buffer, `size` bytes in all: step from header to header (layout "
        "`record`) until `size`. `records` of them are not discarded. A record that is larger than the buffer is dropped "
        "and counted. Not 0: told in the log, the program goes on.",
    ),
    _function(
        "conductor_v1_save",
        "",
        "Save state by `state_write` before the instance ends or is handed over. Not 0: told in the log.",
    ),
    _function("conductor_v1_healthy", "", "Answer 1 while well; asked while an update is watched."),
)
