"""No command in a document is left to itself: each is run by a test, or it says here which test holds what it does."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.docs.playing import steps
from tests.docs.reading import DOCS, ROOT, blocks, commands
from tests.docs.test_commands import DOCUMENTS
from tests.docs.test_help import parse

PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted(DOCS.glob("*.md"))]
SHELL = {
    "README.md": "tests/e2e/test_readme.py",
    "contributing.md": "tests/docs/test_contributing.py",
    "from-bpfman.md": "tests/docs/test_from_bpfman.py",
    "images.md": "tests/docs/test_images.py",
    "kubernetes.md": "tests/cluster/test_document.py",
    "troubleshooting.md": "tests/docs/test_troubleshooting.py",
    "wasm.md": "tests/sdk/test_guide.py",
}
"""Who runs the `sh` blocks of a page; of others test_commands does."""
PLAYED = {
    "install.md": "tests/real_node/test_document.py",
    "rollouts.md": "tests/docs/test_rollouts.py",
    "troubleshooting.md": "tests/docs/test_troubleshooting.py",
    "tutorial.md": "tests/docs/test_tutorial.py",
}
"""Who plays the `console` blocks of a page."""
HELD_BY = {
    ("bpfman.md", "sudo conductor up --kernel bpfman"): "tests/real_bpfman/test_agent.py",
    ("bpfman.md", "conductor doctor"): "tests/real_bpfman/test_agent.py",
    ("install.md", "docker buildx build -f Containerfile"): "tests/image/install.py",
    ("install.md", "helm upgrade --install"): "tests/chart/test_install.py",
}
"""Commands, by how they begin, that want what no test has: a registry of one's own, a bpfman as a service."""
LANGUAGES = {"sh", "console", "yaml", "json", "toml", "ini", "names", "c", "python", "text", ""}


def pages(*names: str) -> list[Path]:
    return [page for page in PAGES if page.name in names]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_shell_blocks_are_run(page: Path) -> None:
    if not commands(page.read_text()) or page in DOCUMENTS:
        return
    runner = ROOT / SHELL[page.name]
    assert page.name in runner.read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_console_blocks_are_played_or_held_by_a_test(page: Path) -> None:
    shown = [step.command for step in steps(page.read_text())]
    if page.name in PLAYED:
        assert shown
        assert page.name in (ROOT / PLAYED[page.name]).read_text()
        return
    begins = [begin for name, begin in HELD_BY if name == page.name]
    assert [line for line in shown if not line.startswith(tuple(begins))] == []


@pytest.mark.parametrize(("name", "begin"), HELD_BY)
def test_what_is_held_by_a_test_is_still_shown_and_the_test_there(name: str, begin: str) -> None:
    (page,) = pages(name)
    assert [step for step in steps(page.read_text()) if step.command.startswith(begin)]
    assert (ROOT / HELD_BY[name, begin]).is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_line_of_a_console_block_belongs_to_a_command(page: Path) -> None:
    for block in blocks(page.read_text(), "console"):
        assert block.startswith("$ "), block


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_languages_are_those_that_somebody_reads(page: Path) -> None:
    fences = re.findall(r"^```(\w*)$", page.read_text(), re.MULTILINE)
    assert set(fences[::2]) <= LANGUAGES
    assert set(fences[1::2]) <= {""}
    for block in blocks(page.read_text(), ""):
        assert not re.search(r"^(\$ |(sudo )?(kubectl|helm|docker|systemctl)\b)", block, re.MULTILINE), block


@pytest.mark.parametrize("page", [page for page in PAGES if page.name in SHELL], ids=lambda page: page.name)
def test_synopses_parse(page: Path) -> None:
    lines = [line for block in blocks(page.read_text(), "") for line in block.splitlines()]
    for line in lines:
        if line.startswith("conductor "):
            parse(shlex.split(line)[1:])
