"""Files named by --apply: what they say is wished, edits included, and a bad one changes nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from conductor.api.documents import MAX_TEXT
from conductor.api.manifest_files import ManifestFiles
from conductor.errors import ConductorError, KernelAway
from conductor.model.program import ProgramSpec, Source

ONE = "apiVersion: ebpfconductor.io/v1alpha1\nkind: UserProgram\nmetadata: {name: NAME}\nspec: {source: {builtin: b}}\n"


class Wishes:
    """What a source wishes now; refuses with `refusal` as often as it is told."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.refusals: list[ConductorError] = []

    async def set_source(self, source: Source, specs: Sequence[ProgramSpec]) -> None:
        assert source is Source.FILE
        if self.refusals:
            raise self.refusals.pop()
        self.names = [spec.name for spec in specs]


def write(path: Path, *names: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text("---\n".join(ONE.replace("NAME", name) for name in names))
    fresh.replace(path)


def test_files_are_wished_in_order_and_edits_are_seen(tmp_path: Path) -> None:
    wishes, (first, second) = Wishes(), (tmp_path / "1.yaml", tmp_path / "2.yaml")
    write(first, "a", "b")
    write(second, "c")
    files = ManifestFiles(paths=(first, second), programs=wishes)
    asyncio.run(files.look())
    assert wishes.names == ["a", "b", "c"]
    write(first, "b")
    asyncio.run(files.look())
    assert (wishes.names, files.problem) == (["b", "c"], "")


@pytest.mark.parametrize("bad", ["missing", "pipe", "folder", "large", "binary", "field"])
def test_a_bad_file_changes_nothing_and_is_named_until_it_is_mended(tmp_path: Path, bad: str) -> None:
    wishes, path = Wishes(), tmp_path / "x.yaml"
    write(path, "a")
    files = ManifestFiles(paths=(path,), programs=wishes)
    asyncio.run(files.look())
    path.unlink()
    match bad:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "large":
            path.write_text("#" * (MAX_TEXT + 1))
        case "binary":
            path.write_bytes(b"\xff\xfe")
        case "field":
            path.write_text(ONE.replace("builtin", "colour"))
        case _:
            assert bad == "missing"
    asyncio.run(files.look())
    assert wishes.names == ["a"]
    assert files.problem.startswith(f"manifest files are not applied as they are: {path}")
    path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
    write(path, "b")
    asyncio.run(files.look())
    assert (wishes.names, files.problem) == (["b"], "")


def test_what_may_pass_by_itself_is_tried_again(tmp_path: Path) -> None:
    wishes, path = Wishes(), tmp_path / "x.yaml"
    write(path, "a")
    wishes.refusals = [KernelAway("later")]
    files = ManifestFiles(paths=(path,), programs=wishes)
    asyncio.run(files.look())
    assert "later" in files.problem
    asyncio.run(files.look())
    assert (wishes.names, files.problem) == (["a"], "")
