"""Texts meant to harm who reads them: refused at the door, or shown without effect on terminal, page and scrape."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from conductor.errors import InvalidSpec, MessageTooLarge

if TYPE_CHECKING:
    from tests.e2e.node import Node

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(120)]
CLEAR, TITLE, C1 = "\x1b[2J", "\x1b]0;owned\x07", "\x9b31m"
MARKUP = "<script>alert(1)</script>"
HOSTILE = f"{CLEAR}{TITLE}{C1}{MARKUP}"
KERNEL = """\
apiVersion: ebpfconductor.io/v1alpha1
kind: KernelProgram
metadata: {name: hostile}
spec:
  bytecode: {path: "%s"}
  programs: [{name: on_enter, type: TracePoint, tracepoint: {links: [{name: raw_syscalls/sys_enter}]}}]
"""


@pytest.mark.parametrize(
    "metadata",
    [
        {"team": CLEAR},
        {"team": "\0"},
        {"team": C1},
        {"team": "\u202eright to left"},
        {"team": "x" * 4_000_000},
        {"two\nlines": "x"},
        {CLEAR: "x"},
        {"": "x"},
        {f"key-{number}": "x" for number in range(1000)},
    ],
    ids=["escape", "nul", "c1", "direction", "huge", "key of lines", "key of escapes", "no key", "many"],
)
def test_metadata_that_cannot_be_shown_is_refused(clean: Node, metadata: dict[str, str]) -> None:
    with pytest.raises(InvalidSpec, match="metadata"):
        clean.ask(lambda agent: agent.load("host_pressure", metadata=metadata))
    assert clean.is_empty()


def test_what_is_past_4_mib_is_refused_as_such(clean: Node) -> None:
    with pytest.raises(MessageTooLarge, match="4 MiB"):
        clean.ask(lambda agent: agent.load("host_pressure", metadata={"team": "x" * (4 << 20)}))
    assert clean.is_empty()


def test_lines_in_metadata_are_kept_and_shown_in_one(clean: Node) -> None:
    clean.ask(lambda agent: agent.load("host_pressure", metadata={"note": "two\nlines"}))
    assert clean.json("get", "host_pressure")["metadata"] == {"note": "two\nlines"}
    shown = clean.cli("get", "host_pressure").stdout
    assert len([line for line in shown.splitlines() if line.startswith("metadata:") and "two lines" in line]) == 1


def test_markup_in_metadata_is_text_everywhere(clean: Node) -> None:
    clean.cli("load", "builtin", "host_pressure", "--metadata", f"note={MARKUP}")
    assert clean.json("get", "host_pressure")["metadata"] == {"note": MARKUP}
    assert MARKUP in clean.cli("get", "host_pressure").stdout
    assert "<script" not in clean.get("/")
    assert "host_pressure" in clean.get("/")


@pytest.mark.parametrize(
    "words",
    [
        ("load", "builtin", HOSTILE),
        ("load", "builtin", "service_map", "--name", HOSTILE),
        ("load", "builtin", "service_map", "--config", f"{HOSTILE}=1"),
        ("load", "builtin", "service_map", "--config", f"external={HOSTILE}"),
        ("load", "builtin", "service_map", "--map", f"pairs={HOSTILE}"),
        ("load", "builtin", "service_map", "--limit", f"{HOSTILE}=1"),
        ("get", HOSTILE),
        ("apply", "-f", f"/{HOSTILE}"),
        ("list", "-o", HOSTILE),
        (HOSTILE,),
    ],
    ids=lambda words: " ".join(words[:-1]) or "command",
)
def test_no_refusal_repeats_an_escape_sequence(clean: Node, words: tuple[str, ...]) -> None:
    done = clean.cli(*words, ok=False)
    assert done.returncode in (1, 2)
    assert harmless(done.stdout + done.stderr), ascii(done.stderr)
    assert clean.is_empty()


def test_an_object_at_a_hostile_path_is_shown_without_effect(clean: Node, compiled: Callable[[str], Path]) -> None:
    folder = clean.root / f"{CLEAR}<b>"
    folder.mkdir(exist_ok=True)
    path = folder / "x.bpf.o"
    path.write_bytes(compiled("counters").read_bytes())
    clean.cli("apply", "-f", "-", stdin=KERNEL % str(path).replace("\x1b", "\\e"))
    clean.wait_for(lambda: clean.json("kernel", "get", "hostile")["state"] == "Running", "running")
    assert clean.json("kernel", "get", "hostile")["bytecode"] == str(path)
    for words in (
        ("kernel", "list"),
        ("kernel", "list", "-o", "wide"),
        ("kernel", "get", "hostile"),
        ("kernel", "log", "hostile"),
        ("list", "-o", "wide"),
    ):
        done = clean.cli(*words)
        assert harmless(done.stdout + done.stderr), words
    page = clean.get("/")
    assert "hostile" in page
    assert "\x1b" not in page
    assert "<b>" not in page
    clean.series()  # a parser reads the page
    clean.cli("delete", "-f", "-", stdin="kind: KernelProgram\nmetadata: {name: hostile}")


def test_a_hostile_diff_moves_no_terminal(clean: Node) -> None:
    manifest = (
        "apiVersion: ebpfconductor.io/v1alpha1\nkind: UserProgram\nmetadata: {name: x}\n"
        'spec: {source: {builtin: service_map}, config: {external: "\\e[2J\\u202e"}}\n'
    )
    done = clean.cli("diff", "-f", "-", stdin=manifest, ok=False)
    assert harmless(done.stdout + done.stderr), ascii(done.stdout)


def harmless(text: str) -> bool:
    return all(character.isprintable() for line in text.split("\n") for character in line)
