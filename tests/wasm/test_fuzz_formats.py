"""Everything packed that crosses the boundary, as somebody might pack it who means harm."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from conductor.errors import ConductorError, InvalidSpec
from conductor.wasm.abi import Error
from conductor.wasm.code_cache import CodeCache
from conductor.wasm.config_schema import checked_config
from conductor.wasm.cutting import cut
from conductor.wasm.guest import Guest
from conductor.wasm.memory import GuestMemory
from conductor.wasm.needs import metric_of, needs_text, parse_needs
from tests.wasm.reaching import EDGE, SLOTS, number_of, put, reaching

ROWS, IDS, TEXT = 65_536, 8192, 4096
DISCARD = 1 << 30
FIXTURE = HealthCheck.function_scoped_fixture

scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8))
anything = st.recursive(scalars, lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=5), one))


def spoiled(good: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Documents that are right but for a field, at times."""
    wrong = st.dictionaries(st.sampled_from([*good, "more"]), anything, max_size=1)
    return st.tuples(st.fixed_dictionaries(good), wrong).map(lambda parts: {**parts[0], **parts[1]})


metrics = spoiled(
    {
        "name": st.sampled_from(["a_total", "b"]),
        "type": st.sampled_from(["counter", "gauge", "histogram"]),
        "help": st.text(max_size=5),
        "labels": st.lists(st.sampled_from(["a", "b", "c"]), max_size=3, unique=True),
        "buckets": st.just([1, 2.5]) | st.just([]),
    }
)
maps = spoiled(
    {
        "name": st.sampled_from(["x", "y", "z"]),
        "type": st.sampled_from(["hash", "ringbuf", "array", "queue"]),
        "key_size": st.integers(0, 64),
        "value_size": st.integers(0, 64),
        "access": st.sampled_from(["Read", "Consume", "ReadWrite"]),
    }
)
sections = spoiled(
    {
        "abi": st.just(1),
        "interval": st.floats(0.1, 1000),
        "maps": st.lists(maps, max_size=2),
        "metrics": st.lists(metrics, max_size=2),
        "config": st.just({"properties": {"top": {"type": "integer", "default": 1}}}),
    }
)


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Guest]:
    with reaching(tmp_path / "cells") as guest:
        yield guest


def call(guest: Guest, name: str, *arguments: int) -> int:
    put(guest, SLOTS, struct.pack(f"<{len(arguments)}Q", *arguments))
    return guest.call("conductor_v1_tick", number_of(name), cpu=10, wall=60)


@settings(max_examples=300, deadline=None)
@given(sections | anything)
def test_needs_are_read_or_refused_by_field(document: Any) -> None:
    """What is read comes back as written."""
    try:
        needs = parse_needs(json.dumps(document).encode())
    except InvalidSpec:
        return
    assert parse_needs(needs_text(needs)) == needs


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
@example(b"[" * 100_000)
@example(b'{"abi": 1' + b"0" * 5000 + b"}")
@example(b'{"interval": NaN}')
@example(b'{"maps": [{"name": {}, "losses": []}]}')
def test_bytes_that_claim_to_be_needs(raw: bytes) -> None:
    try:
        needs = parse_needs(raw)
    except InvalidSpec:
        return
    assert parse_needs(needs_text(needs)) == needs


@settings(max_examples=200, deadline=None)
@given(anything, st.dictionaries(st.text(max_size=5), anything, max_size=3))
def test_any_schema_meets_any_config(schema: Any, config: dict[str, Any]) -> None:
    try:
        needs = parse_needs(json.dumps({"config": {"properties": schema}}).encode())
        checked_config(needs.config_schema, config)
    except InvalidSpec:
        return


@settings(max_examples=200, deadline=None, suppress_health_check=[FIXTURE])
@given(metrics | anything)
def test_declarations_answer_a_number_or_a_code(guest: Guest, declaration: Any) -> None:
    text = json.dumps(declaration).encode()
    put(guest, TEXT, text[:4096])
    answer = call(guest, "metric_declare", TEXT, min(len(text), 4096))
    assert answer >= 0 or answer in (Error.ARGUMENT, Error.STATE, Error.BUDGET)
    assert guest.failure is None
    if answer >= 0:
        assert metric_of(json.loads(text), "metric").name


def packed(rows: list[tuple[str, str]]) -> bytes:
    texts = (text.encode() for row in rows for text in row)
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


@settings(max_examples=150, deadline=None, suppress_health_check=[FIXTURE])
@given(
    rows=st.lists(st.tuples(st.text(max_size=6), st.text(max_size=6)), max_size=4),
    count=st.integers(0, 6) | st.integers(0, 1 << 32),
    cut_off=st.integers(0, 12),
    changed=st.none() | st.tuples(st.integers(0, 80), st.integers(0, 255)),
)
def test_rows_are_whole_or_refused(
    guest: Guest, rows: list[tuple[str, str]], count: int, cut_off: int, changed: tuple[int, int] | None
) -> None:
    """Two labels a row; sizes that lie, text that is not UTF-8, rows that are not there."""
    declared = b'{"name":"m","type":"gauge","labels":["a","b"]}'
    put(guest, TEXT, declared)
    metric = call(guest, "metric_declare", TEXT, len(declared))
    raw = bytearray(packed(rows))
    if changed is not None and changed[0] < len(raw):
        raw[changed[0]] = changed[1]
    size = max(0, len(raw) - cut_off)
    put(guest, ROWS, bytes(raw))
    put(guest, IDS, b"\xee" * 64)
    answer = call(guest, "metric_series", metric, ROWS, size, count & 0xFFFFFFFF, IDS)
    assert answer >= 0 or answer in (Error.ARGUMENT, Error.MEMORY, Error.BUDGET)
    assert guest.memory is not None
    written = guest.memory.read(IDS, 64)
    if answer < 0:
        assert written == b"\xee" * 64  # nothing was done
    else:
        assert written[4 * count :] == b"\xee" * (64 - 4 * count)
        if not cut_off and changed is None:
            assert count <= len(rows)


@settings(max_examples=100, deadline=None, suppress_health_check=[FIXTURE])
@given(count=st.integers(0, 70_000), room=st.integers(0, 64), at=st.sampled_from([ROWS, EDGE - 16, EDGE]))
def test_answers_of_look_ups_stay_within_their_room(guest: Guest, count: int, room: int, at: int) -> None:
    """Nobody is known: three empty texts an address, 12 bytes."""
    put(guest, IDS, b"\xee" * 80)
    answer = call(guest, "lookup_workloads", at, count, IDS, room)
    assert guest.memory is not None
    written = guest.memory.read(IDS, 80)
    if answer < 0:
        assert answer in (Error.MEMORY, Error.ARGUMENT)
    else:
        assert answer == 12 * count
    fits = 0 <= answer <= room
    assert written == (bytes(answer) if fits else b"") + b"\xee" * (80 - (answer if fits else 0))


@settings(max_examples=100, deadline=None, suppress_health_check=[FIXTURE])
@given(st.lists(st.tuples(st.integers(0, 300), st.booleans()), min_size=1, max_size=30), st.integers(8, 400))
def test_records_are_cut_where_they_begin(guest: Guest, records: list[tuple[int, bool]], most: int) -> None:
    """Pieces are whole records, side by side, none of them lost; what is too large stands alone."""
    raw = b"".join(
        struct.pack("<II", size | (DISCARD if gone else 0), 0) + bytes((size + 7) // 8 * 8) for size, gone in records
    )
    memory = guest.memory
    assert isinstance(memory, GuestMemory)
    memory.write(ROWS, raw)
    pieces = cut(memory.at(ROWS, len(raw)), len(raw), most)
    sizes = [((size + 15) // 8 * 8, gone) for size, gone in records]
    kept = sum(1 for size, gone in sizes if not gone and size <= most)
    assert sum(count for _, _, count in pieces if count > 0) == kept
    assert sum(1 for _, _, count in pieces if count < 0) == sum(1 for size, gone in sizes if not gone and size > most)
    assert all(high - low <= most for low, high, count in pieces if count > 0)
    assert [low for low, _, _ in pieces] == sorted(low for low, _, _ in pieces)


@settings(max_examples=150, deadline=None, suppress_health_check=[FIXTURE])
@given(st.data())
def test_a_file_of_the_cache_that_changed_is_never_loaded(tmp_path: Path, data: st.DataObject) -> None:
    """Flipped, cut, grown, doubled, exchanged: none of it is compiled code any more."""
    folder = tmp_path / "code"
    cache = CodeCache.opened(folder)
    cache.store("key", bytes(range(200)))
    (kept,) = folder.iterdir()
    good = kept.read_bytes()
    bad = bytearray(good)
    match data.draw(st.sampled_from(["flip", "cut", "grow", "insert", "any"])):
        case "flip":
            bad[data.draw(st.integers(0, len(bad) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        case "cut":
            del bad[data.draw(st.integers(0, len(bad) - 1)) :]
        case "grow":
            bad += data.draw(st.binary(min_size=1, max_size=64))
        case "insert":
            at = data.draw(st.integers(0, len(bad)))
            bad[at:at] = data.draw(st.binary(min_size=1, max_size=16))
        case _:
            bad = bytearray(data.draw(st.binary(max_size=400)))
    kept.write_bytes(bad)
    loaded = cache.load("key")
    assert loaded is None or bytes(bad) == good
    cache.close()


def test_what_is_refused_is_told_as_an_error_of_ours() -> None:
    for raw in (b"", b"null", b"[]", b"1", b'"x"', b"{", b"\xff"):
        with pytest.raises(ConductorError):
            parse_needs(raw)
