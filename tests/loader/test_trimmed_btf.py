"""Cut-down BTF: made once per object, used afterwards, never in the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conductor.loader.directory import OwnDirectory
from conductor.loader.trimmed_btf import TrimmedBtf
from tests.loader.running import Client, Daemon

pytestmark = pytest.mark.kernel
Compiled = Callable[[str], Path]
TASK = ("on_enter", 2)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[OwnDirectory]:
    with OwnDirectory.opened(tmp_path / "cache") as directory:
        yield directory


def test_an_object_with_relocations_has_a_file_that_is_kept(directory: OwnDirectory, compiled: Compiled) -> None:
    data = compiled("core").read_bytes()
    first = TrimmedBtf(directory=directory).of(data)
    assert first is not None
    assert first.read_bytes()[:2] == b"\x9f\xeb"
    written = [(path, path.stat().st_mtime_ns) for path in directory.path.iterdir()]
    assert TrimmedBtf(directory=directory).of(data) == first
    assert [(path, path.stat().st_mtime_ns) for path in directory.path.iterdir()] == written


def test_an_object_without_relocations_has_none(directory: OwnDirectory, compiled: Compiled) -> None:
    assert TrimmedBtf(directory=directory).of(compiled("counters").read_bytes()) is None


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"\x7fELF" + bytes(500)])
def test_what_cannot_be_cut_has_none(directory: OwnDirectory, data: bytes) -> None:
    assert TrimmedBtf(directory=directory).of(data) is None


def test_an_object_that_was_given_up_has_none(directory: OwnDirectory, compiled: Compiled) -> None:
    data = compiled("core").read_bytes()
    btf = TrimmedBtf(directory=directory)
    btf.give_up(data)
    assert btf.of(data) is None


def test_the_cache_is_bounded(directory: OwnDirectory) -> None:
    for number in range(300):
        (directory.path / f"{number:03}.btf").write_bytes(b"x")
    TrimmedBtf(directory=directory).give_up(b"an object")
    assert len(directory.names()) == 256


def test_programs_come_out_the_same_and_a_damaged_file_is_survived(empty: Daemon, compiled: Compiled) -> None:
    cache = empty.folder / "cache"

    async def load(client: Client) -> str:
        (loaded,) = await client.load(compiled("core"), TASK)
        await client.unload(loaded.kernel_info.id)
        return loaded.kernel_info.tag

    cut = empty.ask(load)
    (file,) = [path for path in cache.glob("*.btf") if path.stat().st_size]
    file.write_bytes(b"\x9f\xeb" + b"\xff" * 100)
    whole = empty.ask(load)
    assert whole == cut
    assert file.read_bytes() == b""
    assert empty.ask(load) == whole
