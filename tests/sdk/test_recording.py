"""Recordings: written and read back, refused with the line; maps and rings in memory behave as the kernel's."""

from __future__ import annotations

import ctypes
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor.cli.wasm_memory import MemoryMap, MemoryRing
from conductor.cli.wasm_recording import Batch, Snapshot, read_recording, write_head, write_moment
from conductor.errors import BudgetExceeded, InvalidSpec, ObjectUnreadable
from conductor.model.grants import MapInfo, MapType
from conductor.model.ids import MapId
from conductor.ports import Cursor

COUNTS = MapInfo(id=MapId(2), name="counts", type=MapType.PERCPU_ARRAY, key_size=4, value_size=8, max_entries=4, cpus=2)
RING = MapInfo(id=MapId(1), name="ring", type=MapType.RINGBUF, key_size=0, value_size=0, max_entries=4096)


def recorded(path: Path, *lines: str) -> Path:
    head = io.StringIO()
    write_head(head, [RING, COUNTS])
    path.write_text(head.getvalue() + "".join(f"{line}\n" for line in lines))
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    moments = (Batch(0.5, "ring", (b"abc", b"")), Snapshot(1.0, "counts", ((bytes(4), bytes(16)),)))
    out = io.StringIO()
    for moment in (*moments, 2.0):
        write_moment(out, moment)
    found = read_recording(recorded(tmp_path / "r", *out.getvalue().splitlines()))
    assert found.moments == moments
    assert found.seconds == 2.0
    assert found.maps == {"ring": RING, "counts": COUNTS}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "no JSON"),
        ('{"at": "now"}', "no time"),
        ('{"at": -1}', "no time"),
        ('{"at": 1, "ring": "other", "records": []}', "no such map"),
        ('{"at": 1, "ring": "ring", "records": ["xx"]}', "hexadecimal"),
        ('{"at": 1, "map": "counts", "entries": [["00", "00"]]}', r"1 \+ 1 bytes; counts has 4 \+ 16"),
        ('{"at": 1, "maps": []}', "unknown field"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(InvalidSpec, match=said) as told:
        read_recording(recorded(tmp_path / "r", '{"at": 0.5}', line))
    assert ":3" in told.value.field


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "r").write_text(json.dumps({"hello": 1}))
    with pytest.raises(InvalidSpec, match="conductor wasm record"):
        read_recording(tmp_path / "r")
    with pytest.raises(ObjectUnreadable):
        read_recording(tmp_path / "absent")


@given(st.lists(st.binary(max_size=300), max_size=60))
def test_records_come_out_of_a_ring_as_they_went_in_over_its_end(records: list[bytes]) -> None:
    ring, taken = MemoryRing(512), []
    for record in records:
        assert ring.push(record)
        consumer, producer = ring.positions()
        at = ring.data + consumer % ring.size
        length = ctypes.c_uint32.from_address(at).value
        taken.append(ctypes.string_at(at + 8, length))
        ring.commit(producer)
    ring.end()
    assert taken == records


def test_a_full_ring_takes_nothing_and_a_giant_never_fits() -> None:
    ring = MemoryRing(64)
    assert ring.push(bytes(48))
    assert not ring.push(bytes(8))
    with pytest.raises(BudgetExceeded):
        ring.push(bytes(64))
    ring.end()


def test_a_walk_gives_every_entry_of_an_array_once_with_zeros() -> None:
    with MemoryMap(COUNTS) as counts:
        counts.replace([((1).to_bytes(4, "little"), b"\1" * 16)])
        keys, values = (ctypes.c_uint32 * 3)(), ctypes.create_string_buffer(48)
        cursor, found = Cursor(), {}
        while not cursor.done:
            got = counts.batch_into(cursor, ctypes.addressof(keys), ctypes.addressof(values), 3)
            found.update({keys[i]: values.raw[16 * i : 16 * i + 16] for i in range(got)})
    assert found == {0: bytes(16), 1: b"\1" * 16, 2: bytes(16), 3: bytes(16)}
