"""Logs of user programs: a ring per program, a rate limit, and what it dropped."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from conductor.model.agent import LogLine
from conductor.model.ids import Name
from conductor.ports import LogSink

__all__ = ["LogBook", "LogLine"]

KEPT_LINES = 1000
_SPARE_LINES = 64
"""So many more are kept before the oldest are cut off, all at once."""
LINE_BYTES = 4096
FOLLOWED_LINES = 1000
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
log = logging.getLogger("conductor.programs")


class LogBook:
    """Own what programs said. Sinks may be called on any thread; reading happens on the event loop."""

    def __init__(self, *, kept: int = KEPT_LINES, clock: Callable[[], float] = time.time) -> None:
        self._kept, self._clock = kept, clock
        self._rings: dict[Name, _Ring] = {}

    def sink(self, name: Name, rate: int) -> LogSink:
        """Answer the sink of a program that may write `rate` lines a second (and that many at once)."""
        ring = self._rings.get(name)
        if ring is None:
            ring = self._rings[name] = _Ring(name=name, kept=self._kept, clock=self._clock)
        ring.rate = rate
        return ring.write

    def tell(self, name: Name, level: str, message: str) -> None:
        """Write a line of the agent's about a program; the program's rate is not touched."""
        ring = self._rings.get(name)
        if ring is not None:
            ring.write(level, message, counts=False)

    def tail(self, name: Name, n: int = 0) -> tuple[LogLine, ...]:
        """Answer the last `n` kept lines; 0: all of them. An unknown program has said nothing."""
        ring = self._rings.get(name)
        lines = ring.lines() if ring else ()
        return lines[-n:] if n > 0 else lines

    async def follow(self, name: Name) -> AsyncGenerator[LogLine, None]:
        """Tell each line from now on, until the program is forgotten; a reader that lags loses lines, and is told."""
        ring = self._rings.get(name)
        if ring is None:
            return
        follower = _Follower(asyncio.get_running_loop())
        ring.followers.append(follower)
        try:
            async for line in follower.lines(name, self._clock):
                yield line
        finally:
            ring.followers.remove(follower)

    def dropped(self, name: Name) -> int:
        """Count the lines that the rate limit took from a program."""
        ring = self._rings.get(name)
        return ring.dropped if ring else 0

    def forget(self, name: Name) -> None:
        """Drop a program's lines and end those who follow them."""
        ring = self._rings.pop(name, None)
        for follower in tuple(ring.followers) if ring else ():
            follower.offer(None)


class _Ring:
    """The last lines of one program, behind a token bucket."""

    def __init__(self, *, name: Name, kept: int, clock: Callable[[], float]) -> None:
        self.rate = 0
        self.dropped = 0
        self.followers: list[_Follower] = []
        self._name, self._clock = name, clock
        self._kept = kept
        self._lines: list[LogLine] = []  # an empty deque takes 760 bytes, and most programs say little
        self._lock = threading.Lock()
        self._tokens, self._filled = 0.0, float("-inf")

    def lines(self) -> tuple[LogLine, ...]:
        with self._lock:
            return tuple(self._lines[-self._kept :])

    def write(self, level: str, message: str, *, counts: bool = True) -> None:
        line = LogLine(
            program=self._name,
            time=self._clock(),
            level=level if level in LEVELS else "info",
            message=_printable(message),
        )
        with self._lock:
            if counts and not self._token(line.time):
                self.dropped += 1
                return
            self._lines.append(line)
            if len(self._lines) > self._kept + _SPARE_LINES:
                del self._lines[: -self._kept]
            followers = tuple(self.followers)
        log.log(LEVELS[line.level], "%s: %s", line.program, line.message)
        for follower in followers:
            follower.offer(line)

    def _token(self, now: float) -> bool:
        gained = max(0.0, now - self._filled) * self.rate if self._filled > float("-inf") else float(self.rate)
        self._tokens, self._filled = min(float(self.rate), self._tokens + gained), now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class _Follower:
    """One reader's bounded queue, filled from other threads."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: asyncio.Queue[LogLine | None] = asyncio.Queue(FOLLOWED_LINES)
        self._missed = 0

    def offer(self, line: LogLine | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._put, line)
        except RuntimeError:
            self._missed += 1  # the loop is closed: the reader is gone with it

    def _put(self, line: LogLine | None) -> None:
        if self._queue.full():
            self._missed += 1
            if line is not None:
                return
            self._queue.get_nowait()
        self._queue.put_nowait(line)

    async def lines(self, name: Name, clock: Callable[[], float]) -> AsyncIterator[LogLine]:
        while (line := await self._queue.get()) is not None:
            yield line
            if self._missed:
                missed, self._missed = self._missed, 0
                message = f"{missed} lines were written faster than they were read here"
                yield LogLine(program=name, time=clock(), level="warning", message=message)


def _printable(message: str) -> str:
    """Cut to a bound and escape control characters: a program's line must not move someone's cursor."""
    text = message[:LINE_BYTES].rstrip("\n")
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
