"""Children that answer: what they may say, how long they may take, and that none is left."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from conductor.children import Answer, ask, ours


def run(*command: str, question: bytes = b"", seconds: float = 10.0, most: int = 100) -> Answer:
    return asyncio.run(ask(command, question, seconds=seconds, most=most))


def children() -> list[str]:
    return [pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]


def test_an_answer_is_what_was_said_and_how_it_ended() -> None:
    answer = run("sh", "-c", "cat; echo why >&2; exit 3", question=b"what")
    assert answer == Answer(status=3, said=b"what", words="why", is_too_long=False)
    assert answer.last_words == "why"


@pytest.mark.parametrize("where", ["", " >&2"])
def test_one_that_does_not_stop_is_ended(where: str) -> None:
    answer = run("sh", "-c", f"exec yes{where}")
    assert (answer.is_too_long, answer.status) == (not where, -9)
    assert len(answer.said) <= 100
    assert len(answer.words) <= 64 << 10
    assert children() == []


def test_one_that_takes_too_long_is_ended() -> None:
    with pytest.raises(TimeoutError):
        run("sleep", "60", seconds=0.2)
    assert children() == []


def test_one_that_reads_nothing_may_answer_all_the_same() -> None:
    answer = run("sh", "-c", "exec echo done", question=bytes(1 << 20))
    assert (answer.said, answer.status, answer.last_words) == (b"done\n", 0, "it said nothing")


def test_one_that_cannot_be_run_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        run("/nowhere/at/all")


def test_ours_is_told_its_parent() -> None:
    assert ours("conductor.x")[1:] == ("-m", "conductor.x", str(os.getpid()))
