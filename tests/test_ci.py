"""What CI runs: sessions that there are, and less of them only where they are named."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run it where `./dev` only says what it was asked for."""
    (place / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", place / ".ci/run")
    (place / "dev").write_text('#!/bin/sh\necho "$@"\n')
    (place / "dev").chmod(0o755)
    command = ["bash", str(place / ".ci/run"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


def sessions(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    first, *then = done.stdout.splitlines()
    assert first == "test"
    return then[0].split()[2:] if then else []


def test_every_session_is_one_of_nox(tmp_path: Path) -> None:
    known = re.findall(r"^@nox\.session\ndef (\w+)\(", (ROOT / "noxfile.py").read_text(), re.MULTILINE)
    found = sessions(run(tmp_path))
    assert {"bpfman", "cluster", "image", "node", "registry", "sdk"} == set(found) <= set(known)


def test_those_that_are_named_are_left_out(tmp_path: Path) -> None:
    assert sessions(run(tmp_path, "--without=bpfman,node")) == ["sdk", "cluster", "registry", "image"]


def test_all_may_be_left_out(tmp_path: Path) -> None:
    assert sessions(run(tmp_path, "--without=sdk,bpfman,cluster,registry,image,node")) == []


@pytest.mark.parametrize("word", ["--without=imgae", "bpfman,everything"])
def test_a_session_that_is_none_is_refused(tmp_path: Path, word: str) -> None:
    done = run(tmp_path, word)
    assert done.returncode == 2
    assert "sessions are sdk bpfman cluster registry image node" in done.stderr
    assert done.stdout == ""
