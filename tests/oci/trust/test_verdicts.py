"""Verdicts on disk: believed when whole, ours and for this very digest and rule."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from conductor.oci.trust.verdicts import Verdicts
from tests.oci.trust.workshop import DIGEST, OTHER_DIGEST

RULE, OTHER_RULE = "ab" * 32, "cd" * 32


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "verdicts"


def test_a_verdict_outlives_the_process(root: Path) -> None:
    Verdicts(root=root).keep(DIGEST, RULE, "key mine.pub")
    again = Verdicts(root=root)
    assert again.find(DIGEST, RULE) == "key mine.pub"
    assert again.find(OTHER_DIGEST, RULE) is None
    assert again.find(DIGEST, OTHER_RULE) is None
    assert (again.hits, again.misses) == (1, 2)


def test_without_a_directory_nothing_is_kept() -> None:
    verdicts = Verdicts(root=None)
    verdicts.keep(DIGEST, RULE, "key mine.pub")
    assert verdicts.find(DIGEST, RULE) is None


@pytest.mark.parametrize("damaged", ["", "{", "[]", "{}", '{"digest": 1, "rule": 2, "by": 3}'])
def test_what_is_damaged_is_not_believed(root: Path, damaged: str) -> None:
    Verdicts(root=root).keep(DIGEST, RULE, "key mine.pub")
    [file] = root.iterdir()
    file.write_text(damaged)
    assert Verdicts(root=root).find(DIGEST, RULE) is None


def test_a_verdict_moved_to_another_name_is_not_believed(root: Path) -> None:
    Verdicts(root=root).keep(DIGEST, RULE, "key mine.pub")
    [good] = root.iterdir()
    Verdicts(root=root).keep(OTHER_DIGEST, RULE, "key mine.pub")
    [other] = [file for file in root.iterdir() if file != good]
    other.write_text(good.read_text())
    assert Verdicts(root=root).find(OTHER_DIGEST, RULE) is None
    assert json.loads(good.read_text())["digest"] == DIGEST


def test_a_directory_that_others_may_write_is_not_used(root: Path) -> None:
    Verdicts(root=root).keep(DIGEST, RULE, "key mine.pub")
    root.chmod(0o777)
    assert Verdicts(root=root).find(DIGEST, RULE) is None


def test_a_directory_behind_a_link_is_not_used(root: Path, tmp_path: Path) -> None:
    Verdicts(root=root).keep(DIGEST, RULE, "key mine.pub")
    (tmp_path / "link").symlink_to(root)
    assert Verdicts(root=tmp_path / "link").find(DIGEST, RULE) is None


def test_the_longest_unused_are_dropped(root: Path) -> None:
    verdicts = Verdicts(root=root, most=2)
    for age, rule in enumerate(("a", "b")):
        verdicts.keep(DIGEST, rule, rule)
        for file in root.iterdir():
            os.utime(file, (100 + age, 100 + age))
    verdicts.find(DIGEST, "a")
    verdicts.keep(DIGEST, "c", "c")
    assert [verdicts.find(DIGEST, rule) for rule in "abc"] == ["a", None, "c"]
    assert verdicts.dropped == 1
    assert len(list(root.iterdir())) == 2


def test_a_disk_that_refuses_costs_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    verdicts = Verdicts(root=tmp_path / "file" / "verdicts")
    verdicts.keep(DIGEST, RULE, "key mine.pub")
    assert verdicts.find(DIGEST, RULE) is None
