"""What the loader keeps of images: by digest, under a policy, so many and no more."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from conductor.loader.directory import OwnDirectory
from conductor.loader.image_shelf import ImageShelf
from conductor.model.reference import Reference

ONE, TWO, THREE = (Reference.parse(f"registry.example/tools/{name}:v1") for name in ("one", "two", "three"))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[OwnDirectory]:
    with OwnDirectory.opened(tmp_path / "images") as directory:
        yield directory


def keep(shelf: ImageShelf, reference: Reference, data: bytes, policy: str = "") -> Path:
    return shelf.keep(reference, data, digest="sha256:1", policy=policy)


def test_what_is_kept_is_found_by_the_next_one_too(folder: OwnDirectory) -> None:
    path = keep(ImageShelf(directory=folder), ONE, b"object")
    shelf = ImageShelf(directory=folder)
    assert (shelf.find(ONE, ""), shelf.name_of(str(path))) == (path, str(ONE))
    assert path.read_bytes() == b"object"
    assert shelf.find(TWO, "") is None


def test_another_policy_lets_nothing_in(folder: OwnDirectory) -> None:
    shelf = ImageShelf(directory=folder)
    keep(shelf, ONE, b"object", policy="loose")
    assert shelf.find(ONE, "strict") is None


def test_a_damaged_file_and_a_torn_record_are_none(folder: OwnDirectory) -> None:
    shelf = ImageShelf(directory=folder)
    path = keep(shelf, ONE, b"object")
    path.write_bytes(b"other")
    assert shelf.find(ONE, "") is None
    keep(shelf, TWO, b"object")
    for record in path.parent.glob("*.json"):
        record.write_text('{"reference": ')
    assert shelf.find(TWO, "") is None


def test_the_oldest_goes_and_a_file_that_another_needs_stays(folder: OwnDirectory) -> None:
    shelf = ImageShelf(directory=folder, most=2)
    first, other = keep(shelf, ONE, b"shared"), keep(shelf, TWO, b"own")
    for age, path in enumerate(sorted(first.parent.glob("*.json"), key=lambda path: str(ONE) in path.read_text())):
        os.utime(path, (1000 - age, 1000 - age))  # ONE is the oldest
    keep(shelf, THREE, b"shared")
    assert shelf.find(ONE, "") is None
    assert (shelf.find(TWO, ""), shelf.find(THREE, "")) == (other, first)
    keep(shelf, ONE, b"new")
    assert len(list(first.parent.glob("*.o"))) == 2
