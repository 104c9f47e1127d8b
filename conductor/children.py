"""Children that answer one question: fed, read within bounds, gone when they answered, took too long or said too much.

What they read came from strangers, so nothing they do may cost their parent more than that.
"""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["PACKAGE", "Answer", "ask", "ours"]

PACKAGE: Final = Path(__file__).parent.parent
"""Where the package lies: a child started there with -m finds it, whatever its environment."""
_CHUNK: Final = 1 << 20
_WORDS: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Answer:
    """What a child said before it ended."""

    status: int
    said: bytes
    words: str
    """Standard error, the beginning of it."""
    is_too_long: bool
    """It said more than it may, and was ended for that."""

    @property
    def last_words(self) -> str:
        """The last line of standard error, for a sentence."""
        return self.words.splitlines()[-1][:300] if self.words else "it said nothing"


def ours(module: str) -> tuple[str, ...]:
    """Command of a child of our own, which is told its parent so that it can die with it."""
    return (sys.executable, "-m", module, str(os.getpid()))


async def ask(
    command: Sequence[str], question: bytes, *, seconds: float, most: int, environment: Mapping[str, str] | None = None
) -> Answer:
    """Run a child to its end; without `environment` it has ours. Raises `TimeoutError`, `OSError` (it cannot be run)."""
    child = await asyncio.create_subprocess_exec(
        *command,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env=environment,
        cwd=PACKAGE,
        start_new_session=True,
        limit=_CHUNK,
    )
    try:
        async with asyncio.timeout(seconds):
            said, words = await _talk(child, question, most)
            status = await child.wait()
    finally:
        _kill(child)
        await child.wait()
    return Answer(status, said[:most], words[:_WORDS].decode(errors="replace").strip(), len(said) > most)


async def _talk(child: Process, question: bytes, most: int) -> tuple[bytes, bytes]:
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    async with asyncio.TaskGroup() as group:
        group.create_task(_feed(child.stdin, question), name="child-in")
        words = group.create_task(_drained(child, child.stderr, _WORDS), name="child-words")
        said = await _drained(child, child.stdout, most)
    return said, words.result()


async def _feed(stdin: asyncio.StreamWriter, question: bytes) -> None:
    with suppress(ConnectionError):  # it ended early: its exit code tells
        stdin.write(question)
        await stdin.drain()
    with suppress(ConnectionError):
        stdin.close()
        await stdin.wait_closed()


async def _drained(child: Process, stream: asyncio.StreamReader, most: int) -> bytes:
    """Read what it says; one that does not stop is ended."""
    said = bytearray()
    while chunk := await stream.read(_CHUNK):
        said += chunk
        if len(said) > most:
            _kill(child)
            break
    return bytes(said)


def _kill(child: Process) -> None:
    with suppress(ProcessLookupError):
        child.kill()
