from __future__ import annotations

import ctypes
import os
import select
import struct
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from conductor.bpf import links, pins
from conductor.bpf.maps import BpfMap, open_map
from conductor.bpf.objects import BpfObject
from conductor.bpf.ring import Ring
from conductor.errors import KernelRefused, NotAllowed
from conductor.model.grants import Access

MapOf = Callable[[BpfObject, str], BpfMap]
Load = Callable[..., BpfObject]
pytestmark = pytest.mark.kernel
BUSY, DISCARD = 1 << 31, 1 << 30


@pytest.fixture
def events(loaded: Load, stack: ExitStack, kernel_pid: int) -> BpfObject:
    """Records one event for each getppid of this process."""
    made = loaded("events", data={"only_pid": struct.pack("<I", kernel_pid)})
    stack.enter_context(links.tracepoint(made.program_fd("on_enter"), "raw_syscalls/sys_enter"))
    return made


def call(times: int) -> None:
    for _ in range(times):
        os.getppid()


def taken(ring: Ring) -> list[tuple[int, int]]:
    """Read what is there, as a consumer does, and give it back."""
    consumer, producer = ring.positions()
    records = []
    while consumer < producer:
        header, _, number, pid = struct.unpack("<IIQI", ctypes.string_at(ring.data + consumer % ring.size, 20))
        assert not header & BUSY
        if not header & DISCARD:
            records.append((number, pid))
        consumer += ((header & ~(BUSY | DISCARD)) + 8 + 7) // 8 * 8
    ring.commit(consumer)
    return records


def test_records_are_read_in_place(events: BpfObject, map_of: MapOf, kernel_pid: int) -> None:
    with map_of(events, "events").ring() as ring:
        call(3)
        assert taken(ring) == [(n, kernel_pid) for n in range(3)]
        assert ring.positions() == (72, 72)


def test_a_record_across_the_end_is_seen_whole(events: BpfObject, map_of: MapOf) -> None:
    with map_of(events, "events").ring() as ring:
        numbers = []
        for _ in range(40):
            call(20)
            numbers += [number for number, _ in taken(ring)]
        assert numbers == list(range(800))
        assert ring.positions()[0] == 800 * 24 > 4 * ring.size
        assert ring.size % 24 != 0  # so some record did lie across the end


def test_a_full_ring_refuses_and_goes_on_after_commit(events: BpfObject, map_of: MapOf) -> None:
    bss = map_of(events, "events.bss")
    with map_of(events, "events").ring() as ring:
        call(200)
        held = len(taken(ring))
        assert held == 4096 // 24
        assert 200 - held in struct.unpack("<QQ", bss.lookup(bytes(4)) or b"")
        call(1)
        assert [number for number, _ in taken(ring)] == [200]


def test_the_ring_polls_readable_while_records_wait(events: BpfObject, map_of: MapOf) -> None:
    with map_of(events, "events").ring() as ring:
        poll = select.poll()
        poll.register(ring.fileno(), select.POLLIN)
        assert poll.poll(0) == []
        call(1)
        assert poll.poll(1000) == [(ring.fileno(), select.POLLIN)]
        taken(ring)
        assert poll.poll(0) == []


def test_the_ring_outlives_the_map_handle(events: BpfObject, map_of: MapOf) -> None:
    handle = map_of(events, "events")
    with handle.ring() as ring:
        handle.close()
        call(1)
        assert len(taken(ring)) == 1


def test_what_was_not_produced_cannot_be_committed(events: BpfObject, map_of: MapOf) -> None:
    with map_of(events, "events").ring() as ring:
        call(2)
        taken(ring)
        for position in (47, 56):
            with pytest.raises(ValueError, match=r"outside 48\.\.48"):
                ring.commit(position)


def test_a_closed_ring_is_refused_and_closes_once(events: BpfObject, map_of: MapOf) -> None:
    ring = map_of(events, "events").ring()
    ring.close()
    ring.close()
    for use in (ring.positions, ring.fileno, lambda: ring.data, lambda: ring.commit(0)):
        with pytest.raises(ValueError, match="closed"):
            use()


def test_pages_are_unmapped(events: BpfObject, map_of: MapOf) -> None:
    def mapped() -> int:
        return Path("/proc/self/maps").read_text().count("bpf-map")

    before = mapped()
    with map_of(events, "events").ring():
        assert mapped() > before
    assert mapped() == before


def test_a_read_only_grant_cannot_consume(events: BpfObject, bpffs: Path) -> None:
    pins.pin(events.map_fd("events"), bpffs / "events")
    with open_map(bpffs / "events", Access.READ) as handle, pytest.raises(NotAllowed, match="Consume"):
        handle.ring()


def test_another_map_is_no_ring(loaded: Load, map_of: MapOf) -> None:
    with pytest.raises(KernelRefused, match="not a ring buffer"):
        map_of(loaded("counters"), "by_pid").ring()
