"""docs/contributing.md is true: its folders are there, its commands name scripts and tools that are."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.docs.reading import DOCS, ROOT, commands
from tests.docs.written import sessions

TEXT = (DOCS / "contributing.md").read_text()


def test_every_folder_is_there() -> None:
    names = {row.split("`")[1] for row in sessions() if "`" in row}
    rows = re.findall(r"^\| (`.*?) \|", TEXT, re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`([\w./]+)`", row) if name not in names]
    assert len(named) > 10
    missing = [name for name in named if not (ROOT / name).exists() and not (ROOT / "conductor" / name).exists()]
    assert missing == []


def test_every_package_has_its_row() -> None:
    packages = {path.parent.name for path in (ROOT / "conductor").glob("*/__init__.py")} - {"config"}
    assert {name for name in packages if f"`{name}`" not in TEXT and f"`conductor/{name}`" not in TEXT} == set()


def test_scripts_are_there() -> None:
    shown = [line.split() for line in commands(TEXT)]
    assert ["./dev", "test"] in [words[:2] for words in shown]
    assert [words for words in shown if not (ROOT / words[0]).exists()] == []


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in commands(TEXT) if line.startswith(".venv/bin/")])
def test_what_is_run_while_one_works_runs(line: str) -> None:
    command = line.replace(".venv/bin/", f"{sys.executable} -m ").split()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=55, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
