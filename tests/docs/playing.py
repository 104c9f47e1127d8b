"""Play the `console` blocks of a document: commands after `$ `, and below each what is printed, as far as it is shown.

Numbers, ages and hashes are those of one day: any will do. A line of `…` stands for whatever else is printed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.docs.reading import blocks

__all__ = ["Step", "plain", "play", "steps"]

_DAILY = (
    (r"-[0-9a-f]{10}\b|:[0-9a-f]{64}\b", "HASH"),
    (r"\b(\d+(\.\d+)?(ms|s|m|h|d))+\b", "AGE"),
    (r"\d+(\.\d+)?(e[+-]?\d+)?", "N"),
    (r"\s+", " "),
)


@dataclass(frozen=True, slots=True)
class Step:
    """A command, and the lines that are shown of its output."""

    command: str
    shown: tuple[str, ...]


def steps(text: str) -> Iterator[Step]:
    """Commands of a document's `console` blocks in their order."""
    for block in blocks(text, "console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *shown = part.replace("\\\n", " ").splitlines()
            yield Step(command, tuple(shown))


def plain(line: str) -> str:
    """A line without what is another on each day."""
    for pattern, word in _DAILY:
        line = re.sub(pattern, word, line)
    return line.strip()


def play(text: str, run: Callable[[str], str]) -> None:
    """Run every command and hold what it prints to what is shown."""
    for step in steps(text):
        printed = run(step.command).splitlines()
        for at, line in enumerate(step.shown):
            if line == "…":
                break
            assert at < len(printed), f"{step.command}: {line!r} is not printed, only {printed}"
            assert plain(printed[at]) == plain(line), f"{step.command}: prints {printed}"
        else:
            assert not step.shown or len(printed) == len(step.shown), f"{step.command}: prints {printed}"
