"""Records, their JSON, and the directory they lie in."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conductor.errors import StateUnwritable
from conductor.loader.directory import OwnDirectory
from conductor.loader.hooks import (
    Hook,
    KprobeHook,
    TcHook,
    TcxHook,
    TracepointHook,
    TracingHook,
    UprobeHook,
    XdpHook,
)
from conductor.loader.records import (
    KernelFacts,
    LinkRecord,
    LoadRecord,
    Place,
    ProgramRecord,
    record_from_json,
    record_to_json,
)
from conductor.loader.store import RecordStore
from conductor.model.ids import LinkId, ProgramId
from conductor.model.kernel import Direction, KernelType

HOOKS: tuple[Hook, ...] = (
    XdpHook(interface="eth0", netns="/run/netns/a", priority=3),
    TcHook(interface="eth0", direction=Direction.EGRESS),
    TcxHook(interface="eth0", direction=Direction.INGRESS, priority=1),
    TracepointHook(name="a/b"),
    KprobeHook(function="f", offset=4),
    UprobeHook(target="libc", function="f", pid=1, container_pid=2),
    UprobeHook(target="/bin/x", offset=7),
    TracingHook(kind="lsm"),
)


def record(key: int = 7) -> LoadRecord:
    links = tuple(
        LinkRecord(id=LinkId(at), hook=hook, place=Place(device=4, inode=5, index=6) if at < 3 else None)
        for at, hook in enumerate(HOOKS, 1)
    )
    facts = KernelFacts(name="f", tag="ab", loaded_at="2026-01-01T00:00:00Z", map_ids=(3, 4), jited=True)
    first = ProgramRecord(
        id=ProgramId(key), name="f", type=KernelType.KRETPROBE, kernel=facts, maps={"m": 3}, shared=("m",), links=links
    )
    second = ProgramRecord(id=ProgramId(key + 1), name="ä\n", type=KernelType.XDP, kernel=facts)
    return LoadRecord(
        key=ProgramId(key),
        boot_id="now",
        path="/x.o",
        programs=(first, second),
        global_data={"g": b"\x00\xff"},
        metadata={"k": "v"},
        map_owner=ProgramId(5),
    )


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[OwnDirectory]:
    with OwnDirectory.opened(tmp_path / "own") as directory:
        yield directory


def test_a_record_comes_back_as_it_was() -> None:
    assert record_from_json(record_to_json(record())) == record()


def test_fields_of_a_later_version_are_passed_over() -> None:
    document = json.loads(record_to_json(record()))
    document["later"] = document["programs"][0]["kernel"]["later"] = 1
    assert record_from_json(json.dumps(document).encode()) == record()


@settings(deadline=None)
@given(st.data())
def test_a_damaged_record_is_a_value_error(data: st.DataObject) -> None:
    """Drop or replace anything anywhere: it is read, or refused in one way."""
    document = json.loads(record_to_json(record()))
    where = document
    while True:
        key = data.draw(st.sampled_from(sorted(where) if isinstance(where, dict) else list(range(len(where)))))
        inner = where[key]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            break
        where = inner
    if isinstance(where, dict) and data.draw(st.booleans()):
        del where[key]
    else:
        where[key] = data.draw(st.sampled_from([None, [], {}, "x", -1, True, 1.5, [None], {"hook": "tc"}]))
    with suppress(ValueError):
        record_from_json(json.dumps(document).encode())


def test_the_store_keeps_what_was_written_last(directory: OwnDirectory) -> None:
    store = RecordStore(directory=directory)
    store.write(record(7))
    store.write(record(9))
    store.write(record(7).without_program(ProgramId(8)))
    store.remove(ProgramId(9))
    store.remove(ProgramId(9))
    assert store.read() == (record(7).without_program(ProgramId(8)),)


def test_only_the_last_bad_records_are_kept(directory: OwnDirectory) -> None:
    store = RecordStore(directory=directory)
    for number in range(40):
        (directory.path / f"{number:03}.json").write_bytes(b"{")
        assert store.read() == ()
    aside = [path.name for path in directory.path.iterdir()]
    assert len(aside) == 16
    assert "039.json.bad" in aside


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    os.system(f"mount -t tmpfs -o size=64k,mode=700 none {full}") if os.geteuid() == 0 else pytest.skip("needs root")
    try:
        with OwnDirectory.opened(full / "own") as directory:
            directory.write("a", b"old")
            with pytest.raises(StateUnwritable, match="free space"):
                directory.write("a", b"x" * 100_000)
            assert (directory.read("a"), directory.names()) == (b"old", ("a",))
            assert list(directory.path.iterdir()) == [directory.path / "a"]
    finally:
        os.system(f"umount -l {full}")


def test_a_link_in_a_files_place_is_not_followed(directory: OwnDirectory, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    (directory.path / "a.new").symlink_to(tmp_path / "victim")
    with pytest.raises(StateUnwritable):
        directory.write("a", b"x")
    assert (tmp_path / "victim").read_text() == "mine"
