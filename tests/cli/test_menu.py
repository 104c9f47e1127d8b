"""The menu: every command has help, the documentation knows all, and help costs nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from conductor.cli.menu import COMMANDS, conductor
from conductor.config import OPTIONS
from tests.cli.conftest import Conduct

DOCS = Path(__file__).parents[2] / "docs" / "cli.md"
SERVER = ("conductor.agent", "conductor.managers", "conductor.loader", "conductor.exporter", "numpy", "pyroute2")


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command by its words, groups opened."""
    with click.Context(conductor) as ctx:
        for name in conductor.list_commands(ctx):
            command = conductor.get_command(ctx, name)
            assert command is not None
            if isinstance(command, click.Group):
                yield from ((f"{name} {sub}", found) for sub, found in command.commands.items())
            else:
                yield name, command


ALL = dict(commands())


def test_the_documentation_has_a_heading_for_every_command_and_no_other() -> None:
    headings = re.findall(r"^### `conductor ([a-z| ]+)[^`]*`", DOCS.read_text(), re.MULTILINE)
    assert sorted(words.strip() for words in headings) == sorted(ALL)


def test_the_documentation_names_every_setting() -> None:
    text = DOCS.read_text()
    assert [option.flag for option in OPTIONS if f"`{option.flag}" not in text] == []


def test_the_menu_shows_every_command() -> None:
    shown = subprocess.run([sys.executable, "-m", "conductor", "--help"], capture_output=True, text=True, check=True)
    assert re.findall(r"^  ([a-z]+)  ", shown.stdout, re.MULTILINE) == [n for s in COMMANDS.values() for n in s]


@pytest.mark.parametrize("words", ALL)
def test_help_reads_as_sentences(conduct: Conduct, words: str) -> None:
    said = conduct(*words.split(), "--help")
    assert said.code == 0
    assert said.out.startswith(f"Usage: conductor {words} ")
    assert (ALL[words].help or "").strip().endswith((".", ")", "`"))
    for parameter in ALL[words].params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help, f"{words} {parameter.name}"


def imported(*words: str) -> set[str]:
    """Modules that a command imported, of ours and of those that are slow."""
    script = (
        "import sys; sys.argv[0] = 'conductor'\n"
        "from conductor.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_help_imports_neither_client_nor_server_nor_rich() -> None:
    modules = imported("--help")
    assert not [m for m in modules if m.startswith((*SERVER, "grpclib", "rich", "yaml", "asyncio"))]


@pytest.mark.parametrize(
    "words", [("list",), ("top", "--once"), ("apply", "-f", "/nowhere.yaml"), ("load", "builtin", "x")]
)
def test_client_commands_import_no_part_of_the_server(words: tuple[str, ...], tmp_path: Path) -> None:
    modules = imported(*words, "--agent-socket", str(tmp_path / "none.sock"))
    assert not [m for m in modules if m.startswith(SERVER)]


def test_help_is_quick() -> None:
    script = "import sys, time; sys.argv = ['conductor', '--help']; t = time.process_time()\nimport click\n"
    script += "t = time.process_time()\nfrom conductor.cli import main\n"
    script += "try: main()\nexcept SystemExit: pass\nprint(time.process_time() - t, file=sys.stderr)"
    best = min(
        float(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stderr)
        for _ in range(3)
    )
    assert best < 0.15


@pytest.mark.parametrize("words", [("frobnicate",), ("list", "--frobnicate"), ("get",), ("kernel", "frobnicate")])
def test_wrong_usage_is_one_sentence_that_names_the_help(conduct: Conduct, words: tuple[str, ...]) -> None:
    said = conduct(*words)
    assert (said.code, said.out) == (2, "")
    assert re.fullmatch(r"conductor: .* \(see conductor[a-z ]* --help\)\n", said.err)


def test_a_reader_that_went_away_is_no_fault() -> None:
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{sys.executable} -m conductor completion bash | true"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Error" not in done.stderr
    assert "Traceback" not in done.stderr
