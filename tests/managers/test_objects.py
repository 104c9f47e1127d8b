"""Objects by digest."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from conductor.errors import BudgetExceeded, ConductorError, InvalidSpec, NotFound, ObjectUnreadable
from conductor.managers.objects import GRACE_SECONDS, ObjectStore
from conductor.model.kernel import BuiltinObject, ImageObject, PathObject


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    made = ObjectStore(root=tmp_path / "objects", object_bytes=1000, store_bytes=1500)
    made.prepare()
    return made


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def held(store: ObjectStore, name: str) -> tuple[bytes, int]:
    """Bytes and mode of an object, as the daemon finds it."""
    path, same = store.path_of(PathObject(path="", digest=name))
    assert same == name
    return Path(path).read_bytes(), Path(path).stat().st_mode & 0o777


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_an_upload_is_kept_by_its_digest_and_readable_by_the_daemon(store: ObjectStore) -> None:
    answered = await store.keep(chunks(b"one", b"two"))
    assert answered == digest(b"onetwo")
    assert held(store, answered) == (b"onetwo", 0o644)


async def test_a_file_is_copied_so_that_its_digest_stays_true(store: ObjectStore, tmp_path: Path) -> None:
    source = tmp_path / "x.o"
    source.write_bytes(b"first")
    pinned = await store.pin(PathObject(path=str(source)))
    source.write_bytes(b"second")
    assert (held(store, pinned.digest), pinned.digest) == ((b"first", 0o644), digest(b"first"))


async def test_an_upload_that_is_too_large_leaves_nothing(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(BudgetExceeded):
        await store.keep(chunks(b"x" * 600, b"x" * 600))
    assert list((tmp_path / "objects").iterdir()) == []


async def test_the_store_as_a_whole_is_bounded(store: ObjectStore) -> None:
    await store.keep(chunks(b"a" * 900))
    with pytest.raises(BudgetExceeded, match="object store"):
        await store.keep(chunks(b"b" * 900))
    await store.keep(chunks(b"a" * 900))  # it is there already


def test_what_nobody_names_goes_after_a_grace(store: ObjectStore, tmp_path: Path) -> None:
    old, young, used = b"old", b"young", b"used"
    for data in (old, young, used):
        (tmp_path / "x").write_bytes(data)
        store.path_of(PathObject(path=str(tmp_path / "x")))
    for data in (old, used):
        path, _ = store.path_of(PathObject(path="", digest=digest(data)))
        long_ago = Path(path).stat().st_mtime - GRACE_SECONDS - 1
        os.utime(path, (long_ago, long_ago))
    assert store.collect({digest(used)}) == (digest(old),)


@pytest.mark.parametrize(
    ("bytecode", "error"),
    [
        (PathObject(path="relative.o"), ObjectUnreadable),
        (PathObject(path="/nowhere/at/all.o"), ObjectUnreadable),
        (PathObject(path="/dev/zero"), ObjectUnreadable),
        (PathObject(path="/"), ObjectUnreadable),
        (PathObject(path="", digest=digest(b"never uploaded")), NotFound),
        (PathObject(path="", digest="sha256:../../../etc/passwd"), InvalidSpec),
        (ImageObject(url="registry.example/x:1"), ObjectUnreadable),
        (BuiltinObject(name="nothing"), NotFound),
    ],
)
def test_what_cannot_be_had(store: ObjectStore, bytecode: PathObject, error: type[ConductorError]) -> None:
    with pytest.raises(error):
        store.path_of(bytecode)


def test_a_pipe_is_refused_and_not_waited_for(store: ObjectStore, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ObjectUnreadable, match="regular"):
        store.path_of(PathObject(path=str(tmp_path / "pipe")))


def test_the_shipped_object_of_a_builtin(store: ObjectStore) -> None:
    path, found = store.path_of(BuiltinObject(name="service_map"))
    assert found == digest(Path(path).read_bytes())
