"""The image cache on a real disk: atomic, checked, bounded, and whole after whatever happened to it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor.errors import ImageDamaged, StateUnwritable, StoreFull
from conductor.model.image import ImageKind, Reference
from conductor.oci.records import ImageRecord
from conductor.oci.store import ImageStore
from tests.oci.image_parts import digest_of

WASM = ImageKind.WASM
LIMIT = 10_000


def record_of(content: bytes, name: str = "a", kind: ImageKind = WASM) -> ImageRecord:
    return ImageRecord(
        reference=f"registry.example/{name}:v1",
        digest=digest_of(name.encode()),
        kind=kind,
        content=digest_of(content),
        size=len(content),
        pulled=1.0,
        architecture="amd64",
        functions={"f": "xdp"},
    )


def put(store: ImageStore, content: bytes, name: str = "a", holder: str = "", kind: ImageKind = WASM) -> ImageRecord:
    record = record_of(content, name, kind)
    with store.incoming(len(content)) as file:
        file.write(content)
        store.keep(file, record, holder=holder)
    return record


@contextmanager
def opened(tmp_path: Path, limit: int = LIMIT, grace: float = 0.0) -> Iterator[ImageStore]:
    with ImageStore.opened(tmp_path / "cache", bytes_limit=limit, grace=grace) as store:
        yield store


def names(store: ImageStore) -> list[str]:
    return [one.reference.removeprefix("registry.example/").removesuffix(":v1") for one in store.images()]


def found(store: ImageStore, record: ImageRecord) -> ImageRecord | None:
    return store.record(record.digest, record.kind, architecture="amd64")


def blob(tmp_path: Path, record: ImageRecord) -> Path:
    return tmp_path / "cache" / "blobs" / "sha256" / record.content[7:]


def test_what_is_kept_is_there_after_a_start(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        record = put(store, b"module")
        store.tag(Reference.parse("registry.example/a:v1"), record.digest)
    with opened(tmp_path) as store:
        assert found(store, record) == record
        path = store.use(record)
        assert path is not None
        assert path.read_bytes() == b"module"
        assert store.tagged(Reference.parse("registry.example/a:v1")) == record.digest
        assert store.counts.hits == 1


def test_where_a_file_lies_is_told_without_using_it(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        record = put(store, b"module")
        (before,) = store.images()
        assert store.located(record.content) == blob(tmp_path, record)
        assert store.located(digest_of(b"other")) is None
        assert store.images() == (before,)
        assert store.counts.hits == 0


def test_files_are_of_the_owner_alone_and_read_only(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        record = put(store, b"module")
    assert blob(tmp_path, record).stat().st_mode & 0o777 == 0o400
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700


def test_a_file_that_was_not_kept_is_gone(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        with store.incoming(10) as file:
            file.write(b"half")
        assert list((tmp_path / "cache" / "tmp").iterdir()) == []
        assert store.bytes_used == 0


def test_other_bytes_than_announced_are_named_by_their_digest(tmp_path: Path) -> None:
    with opened(tmp_path) as store, store.incoming(10) as file:
        file.write(b"other")
        with pytest.raises(ImageDamaged, match=digest_of(b"right")):
            file.check(digest_of(b"right"), 5)
        with pytest.raises(ImageDamaged, match=f"{digest_of(b'right')} came with 5 bytes instead of 6"):
            file.check(digest_of(b"right"), 6)


def test_more_bytes_than_announced_are_refused_as_they_come(tmp_path: Path) -> None:
    with opened(tmp_path) as store, store.incoming(4) as file, pytest.raises(ImageDamaged, match="more than the 4"):
        file.write(b"12345")


@pytest.mark.parametrize("harm", [b"modulf", b"modul", b""])
def test_a_file_that_changed_on_disk_is_not_used_and_goes(tmp_path: Path, harm: bytes) -> None:
    with opened(tmp_path) as store:
        record = put(store, b"module")
    blob(tmp_path, record).chmod(0o600)
    blob(tmp_path, record).write_bytes(harm)
    with opened(tmp_path) as store:
        held = found(store, record)
        assert held is None or store.use(held) is None
        assert store.counts.damaged == 1
        assert store.images() == ()


def test_a_file_that_changed_is_found_out_at_its_first_use_only(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        record = put(store, b"module")
        blob(tmp_path, record).chmod(0o600)
        blob(tmp_path, record).write_bytes(b"modulf")
        assert store.use(record) is not None


def test_a_file_that_somebody_removed_is_not_used(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        record = put(store, b"module")
        blob(tmp_path, record).unlink()
        assert store.use(record) is None
        assert store.images() == ()


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        records = [put(store, bytes([i]) * 3000, str(i)) for i in range(3)]
        assert store.use(records[0]) is not None
        put(store, bytes(3000), "new")
        assert names(store) == ["0", "2", "new"]
        assert (store.counts.evictions, store.counts.evicted_bytes) == (1, 3000)
        assert not blob(tmp_path, records[1]).exists()


def test_use_is_remembered_over_a_start(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        for i in range(3):
            put(store, bytes([i]) * 3000, str(i))
    for i, name in enumerate(("1", "0", "2")):
        path = tmp_path / "cache" / "images" / f"{digest_of(name.encode())[7:]}.wasm.json"
        os.utime(path, (i, i))
    with opened(tmp_path) as store:
        put(store, bytes(3000), "new")
        assert names(store) == ["0", "2", "new"]


def test_what_is_held_is_never_evicted(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put(store, bytes(4000), "held", holder="program")
        put(store, b"x" * 4000, "loose")
        put(store, b"y" * 4000, "new")
        assert names(store) == ["held", "new"]
        store.release(digest_of(b"held"), "program")
        put(store, b"z" * 8000, "large")
        assert names(store) == ["large"]


def test_what_was_just_pulled_is_not_evicted_before_anybody_can_hold_it(tmp_path: Path) -> None:
    with opened(tmp_path, grace=60) as store:
        put(store, bytes(6000), "fresh")
        with pytest.raises(StoreFull):
            put(store, bytes(5000), "new")
        assert names(store) == ["fresh"]
        assert not store.images()[0].in_use


def test_what_is_retained_stays_until_it_is_not_named_any_more(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        record = put(store, bytes(6000), "wished")
        store.retain([record.digest])
        assert store.images()[0].in_use
        assert store.prune() == ()
        with pytest.raises(StoreFull):
            put(store, bytes(5000), "new")
        store.retain([])
        put(store, bytes(5000), "new")
        assert names(store) == ["new"]


def test_a_full_store_says_what_holds_it_and_evicts_nothing_in_vain(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put(store, bytes(6000), "held", holder="program")
        put(store, b"x" * 3000, "loose")
        with pytest.raises(StoreFull, match="no room for 5000 bytes more: of its 10000 bytes 6000 are held"):
            put(store, bytes(5000), "new")
        assert names(store) == ["held", "loose"]


def test_what_is_being_pulled_counts_and_stays(tmp_path: Path) -> None:
    with opened(tmp_path) as store, store.incoming(9000) as file:
        file.write(bytes(100))
        with pytest.raises(StoreFull), store.incoming(2000):
            pass
        assert store.bytes_used == 9000


def test_one_file_of_two_images_stays_while_one_of_them_does(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        record = put(store, b"same", "a", holder="program")
        put(store, b"same", "b")
        assert [one.reference for one in store.prune()] == ["registry.example/b:v1"]
        assert store.use(record) is not None


def test_pruning_leaves_what_is_held_and_forgets_tags_of_the_rest(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put(store, b"1", "held", holder="program")
        loose = put(store, b"2", "loose")
        store.tag(Reference.parse("registry.example/loose:v1"), loose.digest)
        assert len(store.prune()) == 1
        assert names(store) == ["held"]
        assert store.tagged(Reference.parse("registry.example/loose:v1")) == ""
        assert store.bytes_used == 1


def test_half_written_files_are_swept_and_orphans_go_first(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        record = put(store, b"x" * 4000)
    (tmp_path / "cache" / "tmp" / "1-half").write_bytes(b"half")
    orphan = b"orphan" * 1000
    blob(tmp_path, record).with_name(digest_of(orphan)[7:]).write_bytes(orphan)
    with opened(tmp_path) as store:
        assert store.counts.swept == 1
        assert store.bytes_used == 10_000
        put(store, b"new", "new")
        assert names(store) == ["a", "new"]


@pytest.mark.parametrize("torn", [b"", b'{"version": 1, "dig', b"[]", b'{"version": 1}', b"\xff", b"[" * 100_000])
@pytest.mark.parametrize("folder", ["images", "tags"])
def test_torn_records_are_put_aside(tmp_path: Path, torn: bytes, folder: str) -> None:
    with opened(tmp_path) as store:
        put(store, b"module")
    (tmp_path / "cache" / folder / "torn.json").write_bytes(torn)
    with opened(tmp_path) as store:
        assert names(store) == ["a"]
        assert store.counts.set_aside == 1
    assert len(list((tmp_path / "cache" / "aside").iterdir())) == 1


def test_few_torn_records_are_kept(tmp_path: Path) -> None:
    with opened(tmp_path):
        pass
    for i in range(40):
        (tmp_path / "cache" / "images" / f"{i}.json").write_bytes(b"torn")
    with opened(tmp_path) as store:
        assert store.counts.set_aside == 40
    assert len(list((tmp_path / "cache" / "aside").iterdir())) == 16


def test_records_of_other_versions(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        known, unknown = put(store, b"1", "known"), put(store, b"2", "unknown")
    folder = tmp_path / "cache" / "images"
    for record, change in ((known, {"later": [1]}), (unknown, {"version": 2, "kind": {"new": 1}})):
        path = folder / f"{record.digest[7:]}.wasm.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with opened(tmp_path) as store:
        assert names(store) == ["known"]
        assert store.counts.set_aside == 0
    assert len(list(folder.iterdir())) == 2


def test_another_architecture_is_another_image(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        record = put(store, b"1")
        assert store.record(record.digest, WASM, architecture="arm64") is None


def test_two_kinds_of_one_digest_live_side_by_side(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put(store, b"1")
        put(store, b"2", kind=ImageKind.BYTECODE)
        assert [one.kind for one in store.images()] == [ImageKind.BYTECODE, ImageKind.WASM]


def test_a_link_or_somebody_elses_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "cache").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateUnwritable, match="cannot be used"), opened(tmp_path):
        pass
    (tmp_path / "cache").unlink()
    (tmp_path / "cache").mkdir(mode=0o755)
    with pytest.raises(StateUnwritable, match="mode 0700"), opened(tmp_path):
        pass


def test_two_processes_do_not_share_a_store(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(StateUnwritable, match="in use by another process"), opened(tmp_path):
        pass


TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)
"""Half surrogates too: JSON has them, and so has whoever wants to do harm."""
TABLE = st.dictionaries(TEXT, TEXT, max_size=3)


@given(reference=TEXT, verdict=TEXT, kind=st.sampled_from(ImageKind), table=TABLE, pulled=st.floats(0, 1e12))
def test_records_are_read_back_as_they_were_written(
    reference: str, verdict: str, kind: ImageKind, table: dict[str, str], pulled: float
) -> None:
    record = ImageRecord(
        reference=reference,
        digest=digest_of(b"a"),
        kind=kind,
        content=digest_of(b"b"),
        size=7,
        pulled=pulled,
        verdict=verdict,
        annotations=table,
        functions=table,
    )
    assert ImageRecord.parse(record.text()) == record
