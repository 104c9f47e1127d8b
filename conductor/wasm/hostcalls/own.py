"""What is a program's own: its config, log and state; clocks and random bytes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final

from conductor.ports import ProgramContext
from conductor.wasm.abi import Error, Level
from conductor.wasm.memory import GuestMemory, Refused
from conductor.wasm.meter import Bucket

__all__ = ["LINE_BYTES", "OwnCalls"]

LINE_BYTES: Final = 4096
RANDOM_BYTES: Final = 1 << 20
STATE_BYTES: Final = 8 << 20
_STATE_RATE: Final = 4 << 20
"""Bytes of state a second, averaged: a program must not wear out the disk."""


class OwnCalls:
    """Calls of one instance on what belongs to it alone."""

    __slots__ = ("_config", "_context", "_lines", "_memory", "_saved")

    def __init__(
        self, *, context: ProgramContext, config: bytes, memory: Callable[[], GuestMemory], log_lines: int
    ) -> None:
        self._context, self._config, self._memory = context, config, memory
        self._lines = Bucket(rate=log_lines, burst=log_lines)
        self._saved = Bucket(rate=_STATE_RATE, burst=8 * STATE_BYTES)

    def config_read(self, out: int, room: int) -> int:
        """Copy the config."""
        return self._memory().offer(self._config, out, room)

    def log(self, level: int, text: int, size: int) -> int:
        """Write a log line."""
        if level > max(Level):
            raise Refused(Error.ARGUMENT)
        self._memory().at(text, size)
        line = self._memory().read(text, min(size, LINE_BYTES)).decode(errors="replace")
        return int(self.say(Level(level), line))

    def say(self, level: Level, line: str) -> bool:
        """Write a log line; answer whether the rate limit lets it through."""
        is_within = self._lines.left() >= 1
        if is_within:
            self._lines.spend(1)
        self._context.log(level.name.lower(), line)  # the sink counts what it drops
        return is_within

    def state_read(self, out: int, room: int) -> int:
        """Copy the saved state."""
        state = self._context.state.load()
        if state is None:
            raise Refused(Error.NOT_FOUND)
        return self._memory().offer(state, out, room)

    def state_write(self, data: int, size: int) -> int:
        """Save state."""
        state = self._memory().read(data, size) if size <= STATE_BYTES else b""
        if size > STATE_BYTES or self._saved.left() <= 0:
            raise Refused(Error.BUDGET)
        self._saved.spend(size + 4096)
        self._context.state.store(state)
        return 0

    def clock(self, kind: int) -> int:
        """Nanoseconds."""
        if kind > 1:
            raise Refused(Error.ARGUMENT)
        return time.monotonic_ns() if kind else time.time_ns()

    def random(self, out: int, size: int) -> int:
        """Fill with random bytes."""
        if size > RANDOM_BYTES:
            raise Refused(Error.ARGUMENT)
        self._memory().write(out, os.urandom(size))
        return size
