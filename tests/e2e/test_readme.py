"""Every command that the README shows is run as it stands there, but for sudo and the socket's place."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.node import Node

pytestmark = [pytest.mark.kernel, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
STARTED_BY_THE_HARNESS = {"up"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[list[str]]:
    lines = [line.split("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line)[2:] for line in lines if line.startswith("sudo conductor ") and "counter" not in line]


def test_the_wasm_program_of_the_readme_is_built_played_and_applied(node: Node, tmp_path: Path) -> None:
    lines = [line.split("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    shown = [line.removeprefix("sudo ") for line in lines if "counter" in line]
    assert len(shown) == 4
    node.start("--kernel", "embedded")
    found = {"CONDUCTOR_AGENT_SOCKET": str(node.root / "run/agent.sock"), "PYTHONPATH": str(ROOT)}
    found["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for line in shown:
        done = subprocess.run(
            shlex.split(line), env=os.environ | found, capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
    node.wait_for(lambda: node.running("counter"), "running")
    node.wait_for(
        lambda: [key for key in node.series("?program=counter") if not key[0].startswith("conductor_")], "told"
    )


def test_every_command_of_the_readme_works(node: Node) -> None:
    shown = [words for words in commands() if words[0] not in STARTED_BY_THE_HARNESS]
    assert len(shown) >= 6
    node.start("--kernel", "embedded")
    environment = os.environ | {"CONDUCTOR_AGENT_SOCKET": str(node.root / "run/agent.sock")}
    for words in shown:
        paths = [str(ROOT / word) if word.startswith("examples/") else word for word in words]
        here = node.flags()[2:] if words[0] == "doctor" else []
        command = [sys.executable, "-m", "conductor", *paths, *here]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=False, cwd="/"
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    script = blocks("python")[0]
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert "host_pressure Running" in done.stdout, done.stderr


def test_every_path_of_the_readme_is_there() -> None:
    for path in re.findall(r"\]\((?!http)([^)#]+)\)", README) + re.findall(r"(?<=-f )(examples/\S+\.yaml)", README):
        assert path == "docs/pictures/demo.svg" or (ROOT / path).exists(), path
    for command in ("./dev demo", "./dev test"):
        assert command in README
