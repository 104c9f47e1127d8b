"""Every command of docs/wasm.md is run as it stands there, but for sudo; `load` and `apply` meet a real agent."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conductor.cli.wasm_project import Language
from conductor.cli.wasm_tools import missing
from tests.e2e.node import Node
from tests.sdk.conftest import LANGUAGES, REQUIRED, ROOT, Make, examples_of

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]
GUIDE = (ROOT / "docs/wasm.md").read_text()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with `conductor` on the way to it."""
    lacks = missing(Language.C, kernel_half=True)
    if lacks and Language.C not in REQUIRED:
        pytest.skip(f"needs the Debian packages {', '.join(lacks.values())}")
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "conductor"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m conductor "$@"\n')
    command.chmod(0o755)
    return tmp_path


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)
    return [line.removeprefix("sudo ") for block in blocks for line in block.splitlines()]


@pytest.mark.slow
def test_every_command_of_the_guide_works_in_its_order(node: Node, place: Path) -> None:
    environment = os.environ | {
        "CONDUCTOR_AGENT_SOCKET": str(node.socket),
        "PATH": f"{place / 'bin'}:{os.environ['PATH']}",
    }
    assert len(commands()) >= 15
    for line in commands():
        done = subprocess.run(line.split(), cwd=place, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
        if " apply " in line:
            node.wait_for(lambda: any(name == "counter_calls_total" for name, _ in node.series()), "on the page", 10)
        if " load " in line:
            node.wait_for(lambda: any(name == "watcher_ticks_total" for name, _ in node.series()), "on the page", 5)


def test_the_table_of_examples_says_what_there_is() -> None:
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|([^|]*)\|([^|]*)\|([^|]*)\|$", GUIDE, re.MULTILINE)
    said = {language: sorted(row[0] for row in rows if row[1 + i].strip()) for i, language in enumerate(Language)}
    assert said == {language: examples_of(language) for language in Language}


def test_a_need_without_a_grant_is_refused_with_the_option(node: Node, place: Path) -> None:
    environment = os.environ | {"CONDUCTOR_AGENT_SOCKET": str(node.socket)}
    for words in (["wasm", "new", "counter", "--lang", "c"], ["wasm", "build", "counter"]):
        subprocess.run([place / "bin/conductor", *words], cwd=place, env=environment, capture_output=True, check=True)
    said = node.cli("load", "wasm", str(place / "counter/counter.wasm"), ok=False)
    assert said.returncode == 1
    assert "counts" in said.stderr
    assert "--map" in said.stderr


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_new_program_is_on_the_page_within_five_seconds_as_it_stands(
    node: Node, made: Make, language: Language
) -> None:
    alone = made(language, "psi_watch")
    node.cli("load", "wasm", str(alone / "psi_watch.wasm"))
    node.wait_for(lambda: any(name == "psi_watch_ticks_total" for name, _ in node.series()), "on the page", 5)
    both = made(language, "syscall_counter")
    node.cli("apply", "-f", str(both / "manifest.yaml"))
    node.wait_for(lambda: any(name == "syscall_counter_calls_total" for name, _ in node.series()), "on the page", 5)
    assert {item["state"] for item in node.json("list")["items"]} == {"Running"}
