"""Every command that the documents show is run as it stands there, but for the places, which are those of one test.

README.md, wasm.md, kubernetes.md, contributing.md and images.md have tests of their own: tests/e2e/test_readme.py,
tests/sdk/test_guide.py, tests/cluster/test_document.py, test_contributing.py and test_images.py beside this one; the
systemd units of operators.md have tests/systemd.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.docs.reading import DOCS, ROOT, commands, section
from tests.docs.shell import environment
from tests.e2e.node import Node

pytestmark = [pytest.mark.kernel, pytest.mark.slow]
ELSEWHERE = {"wasm.md", "kubernetes.md", "contributing.md", "images.md", "from-bpfman.md", "troubleshooting.md"}
SECTIONS_ELSEWHERE = {"operators.md": "Two systemd units"}
DOCUMENTS = [path for path in sorted(DOCS.glob("*.md")) if path.name not in ELSEWHERE and commands(path.read_text())]


def test_no_document_is_forgotten() -> None:
    assert {"cli.md", "operators.md"} <= {path.name for path in DOCUMENTS}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_works_in_its_order(node: Node, tmp_path: Path, document: Path) -> None:
    (tmp_path / "bin").mkdir()
    variables = environment(node, tmp_path / "bin")
    text = document.read_text()
    if elsewhere := SECTIONS_ELSEWHERE.get(document.name):
        text = text.replace(section(text, elsewhere), "")
    for line in commands(text):
        words = line.removeprefix("sudo ").split()
        if words[:2] == ["conductor", "up"]:
            if node.up is None:
                node.start("--kernel", "embedded")
            continue
        here = line.replace("127.0.0.1:8080", f"127.0.0.1:{node.port}")
        done = subprocess.run(
            here, shell=True, env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}\n{node.log[-2000:]}"


def test_examples_in_manifests_are_files_of_ours() -> None:
    shown = [word for path in (ROOT / "README.md", *DOCUMENTS) for word in path.read_text().split()]
    named = {word.strip("`") for word in shown if word.startswith("examples/") and word.endswith(".yaml")}
    assert named
    assert [name for name in named if not (ROOT / name).is_file()] == []
