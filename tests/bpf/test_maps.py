from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np
import pytest

from conductor.bpf.info import possible_cpus
from conductor.bpf.kinds import MapKind
from conductor.bpf.map_create import create_map
from conductor.bpf.maps import BpfMap
from conductor.bpf.walk import _FIRST_BYTES, all_entries
from conductor.errors import BudgetExceeded, ConductorError, KernelRefused, NotSupported
from conductor.model.grants import MapType
from conductor.ports import Cursor

pytestmark = pytest.mark.kernel
Make = Callable[..., BpfMap]
_NO_PREALLOC = 1


@pytest.fixture
def make(stack: ExitStack) -> Make:
    def make(kind: MapKind, key: int, value: int, entries: int, flags: int = 0) -> BpfMap:
        made = create_map(kind, key_size=key, value_size=value, max_entries=entries, flags=flags, name="tested")
        return stack.enter_context(BpfMap.from_fd(made.detach()))

    return make


def filled(made: BpfMap, count: int) -> BpfMap:
    for number in range(count):
        made.update(struct.pack("<I", number), struct.pack("<Q", number * 7))
    return made


def pairs(made: BpfMap) -> dict[int, int]:
    entries = made.entries()
    keys, values = np.frombuffer(entries.keys, "<u4"), np.frombuffer(entries.values, "<u8")
    assert len(keys) == len(values) == entries.count
    return dict(zip(keys.tolist(), values.tolist(), strict=True))


def test_info_is_the_kernels(make: Make) -> None:
    info = make(MapKind.HASH, 4, 8, 100).info
    assert (info.name, info.type, info.key_size, info.value_size, info.max_entries, info.cpus, info.stride) == (
        ("tested", MapType.HASH, 4, 8, 100, 1, 8)
    )


def test_entries_come_and_go(make: Make) -> None:
    made = make(MapKind.HASH, 4, 8, 10)
    assert made.lookup(b"abcd") is None
    made.update(b"abcd", b"12345678")
    assert made.lookup(b"abcd") == b"12345678"
    assert made.delete(b"abcd") is True
    assert made.delete(b"abcd") is False


@pytest.mark.parametrize("kind", [MapKind.HASH, MapKind.LRU_HASH])
@pytest.mark.parametrize("count", [0, 1, 3000])
def test_a_whole_hash_map_is_copied(make: Make, kind: MapKind, count: int) -> None:
    assert pairs(filled(make(kind, 4, 8, 8000), count)) == {n: n * 7 for n in range(count)}


def test_a_map_larger_than_the_first_batch_is_copied_whole(make: Make) -> None:
    made = make(MapKind.HASH, 4, 2048, 9000, _NO_PREALLOC)
    for number in range(8500):
        made.update(struct.pack("<I", number), struct.pack("<I", number) * 512)
    entries = made.entries()
    values = np.frombuffer(entries.values, "<u4").reshape(entries.count, 512)
    assert entries.count == 8500
    assert _FIRST_BYTES < 9000 * 2052
    assert (values == np.frombuffer(entries.keys, "<u4")[:, None]).all()


def test_a_first_batch_smaller_than_a_bucket_grows(make: Make) -> None:
    made = filled(make(MapKind.HASH, 4, 8, 4000), 4000)
    entries = all_entries(made._walk, first=12)
    assert sorted(np.frombuffer(entries.keys, "<u4").tolist()) == list(range(4000))


def test_an_array_is_copied_whole(make: Make) -> None:
    made = make(MapKind.ARRAY, 4, 8, 300)
    made.update(struct.pack("<I", 299), struct.pack("<Q", 5))
    assert pairs(made) == {n: 5 if n == 299 else 0 for n in range(300)}


def test_per_cpu_values_have_a_slot_for_each_cpu(make: Make) -> None:
    made = make(MapKind.PERCPU_HASH, 4, 4, 50)
    cpus = possible_cpus()
    value = b"".join(struct.pack("<I4x", cpu + 1) for cpu in range(cpus))
    made.update(b"abcd", value)
    assert made.info.stride == 8 * cpus
    assert made.lookup(b"abcd") == value
    assert bytes(made.entries().values) == value


def test_a_per_cpu_array_is_read_in_batches(make: Make) -> None:
    made = make(MapKind.PERCPU_ARRAY, 4, 8, 3)
    entries = made.entries()
    assert entries.count == 3
    assert len(entries.values) == 3 * made.info.stride


def test_prefixes_are_found_by_the_longest(make: Make) -> None:
    made = make(MapKind.LPM_TRIE, 8, 8, 10, _NO_PREALLOC)
    for bits, value in ((8, 1), (16, 2)):
        made.update(struct.pack("<I4B", bits, 10, 1, 0, 0), struct.pack("<Q", value))
    assert made.lookup(struct.pack("<I4B", 32, 10, 1, 2, 3)) == struct.pack("<Q", 2)
    assert made.lookup(struct.pack("<I4B", 32, 10, 9, 2, 3)) == struct.pack("<Q", 1)
    assert made.entries().count == 2


@pytest.mark.parametrize(("kind", "order"), [(MapKind.QUEUE, [1, 2]), (MapKind.STACK, [2, 1])])
def test_queues_and_stacks_are_popped(make: Make, kind: MapKind, order: list[int]) -> None:
    made = make(kind, 0, 8, 4)
    for number in (1, 2):
        made.update(b"", struct.pack("<Q", number))
    value = ctypes.c_uint64()
    popped = []
    while made.pop_into(ctypes.addressof(value)):
        popped.append(value.value)
    assert popped == order


def test_a_queue_has_no_entries_to_copy(make: Make) -> None:
    with pytest.raises((NotSupported, KernelRefused), match="queue"):
        make(MapKind.QUEUE, 0, 8, 4).entries()


def test_a_map_without_batches_is_read_key_by_key(make: Make) -> None:
    made = make(MapKind.CPUMAP, 4, 4, 2)
    made.update(struct.pack("<I", 1), struct.pack("<I", 64))
    entries = made.entries()
    assert made._walk._has_batches is False, "the kernel has batches for this type now: test with another"
    assert struct.pack("<I", 1) in [bytes(entries.keys[i : i + 4]) for i in range(0, len(entries.keys), 4)]
    assert entries.count == len(entries.keys) // 4 == len(entries.values) // 4


def test_batches_continue_where_they_stopped(make: Make) -> None:
    made = filled(make(MapKind.HASH, 4, 8, 4000), 2500)
    keys, values = np.zeros(600, "<u4"), np.zeros(600, "<u8")
    cursor, calls = Cursor(), 0
    seen: dict[int, int] = {}
    while not cursor.done:
        count = made.batch_into(cursor, keys.ctypes.data, values.ctypes.data, 600)
        seen.update(zip(keys[:count].tolist(), values[:count].tolist(), strict=True))
        calls += 1
    assert seen == {n: n * 7 for n in range(2500)}
    assert calls >= 5
    assert made.batch_into(cursor, keys.ctypes.data, values.ctypes.data, 600) == 0


def test_nothing_is_written_past_the_room(make: Make) -> None:
    made = filled(make(MapKind.HASH, 4, 8, 4000), 1000)
    keys, values = np.full(200, 0xFFFFFFFF, "<u4"), np.full(200, 7, "<u8")
    count = made.batch_into(Cursor(), keys.ctypes.data, values.ctypes.data, 100)
    assert 0 < count <= 100
    assert (keys[100:] == 0xFFFFFFFF).all()


def test_room_smaller_than_a_bucket_asks_for_more(make: Make) -> None:
    made = filled(make(MapKind.HASH, 4, 8, 4000), 4000)
    keys, values, cursor, room, seen = np.zeros(4000, "<u4"), np.zeros(4000, "<u8"), Cursor(), 1, 0
    asked = 0
    while not cursor.done:
        try:
            seen += made.batch_into(cursor, keys.ctypes.data, values.ctypes.data, room)
        except BudgetExceeded as error:
            assert "twice the room" in str(error)  # noqa: PT017 the walk goes on with more room
            room, asked = room * 2, asked + 1
    assert (seen, asked > 0) == (4000, True)


def test_single_entries_go_by_address(make: Make) -> None:
    made = make(MapKind.HASH, 4, 8, 4)
    key, value = ctypes.c_uint32(3), ctypes.c_uint64(9)
    made.update_from(ctypes.addressof(key), ctypes.addressof(value), 1)
    with pytest.raises(KernelRefused, match="File exists"):
        made.update_from(ctypes.addressof(key), ctypes.addressof(value), 1)
    value.value = 0
    assert made.lookup_into(ctypes.addressof(key), ctypes.addressof(value))
    assert value.value == 9
    assert made.delete_at(ctypes.addressof(key))
    assert not made.lookup_into(ctypes.addressof(key), ctypes.addressof(value))


def test_a_full_map_says_so(make: Make) -> None:
    made = make(MapKind.HASH, 4, 8, 1)
    made.update(b"aaaa", bytes(8))
    with pytest.raises(KernelRefused, match="the map is full"):
        made.update(b"bbbb", bytes(8))


@pytest.mark.parametrize(("key", "value"), [(b"abc", bytes(8)), (b"abcd", bytes(7))])
def test_wrong_sizes_are_refused_before_the_kernel_reads_past_them(make: Make, key: bytes, value: bytes) -> None:
    with pytest.raises(KernelRefused, match=r"of [48] bytes, got [37]"):
        make(MapKind.HASH, 4, 8, 1).update(key, value)


def test_use_after_close_is_refused(make: Make) -> None:
    made = make(MapKind.HASH, 4, 8, 1)
    made.close()
    made.close()
    address = ctypes.addressof(ctypes.c_uint64())
    for use in (
        lambda: made.lookup(b"abcd"),
        lambda: made.update(b"abcd", bytes(8)),
        made.entries,
        lambda: made.batch_into(Cursor(), address, address, 1),
        made.ring,
    ):
        with pytest.raises(ValueError, match="closed"):
            use()


def test_a_descriptor_that_is_no_map_is_refused_and_closed() -> None:
    fd = os.open("/dev/null", os.O_RDONLY)
    with pytest.raises(ConductorError):
        BpfMap.from_fd(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
