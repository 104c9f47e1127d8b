"""What both forms of the daemon need around their services: the server, signals, and the kernel's clock for programs."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

from grpclib.events import SendTrailingMetadata, listen
from grpclib.server import Server

from conductor.bpf.stats import run_stats
from conductor.errors import ConductorError
from conductor.loader.rpc import Door, explain

__all__ = ["counting", "serving", "signals"]

log = logging.getLogger(__name__)
_GRACE = 10.0
"""Seconds for calls under way to end."""


@asynccontextmanager
async def serving(doors: Sequence[Door], listener: socket.socket) -> AsyncIterator[None]:
    """Answer while the body runs; calls under way may end."""
    server = Server(list(doors))
    listen(server, SendTrailingMetadata, explain)
    await server.start(sock=listener)
    try:
        yield
    finally:
        server.close()
        try:
            async with asyncio.timeout(_GRACE):
                await server.wait_closed()
        except TimeoutError:
            log.warning("calls under way did not end within %g s", _GRACE)


def counting(stack: AsyncExitStack) -> bool:
    """Have the kernel keep run times while the daemon runs."""
    try:
        stack.enter_context(run_stats())
    except ConductorError as error:
        log.warning("run times of programs will be missing: %s", error)
        return False
    return True


@contextmanager
def signals(stop: asyncio.Event) -> Iterator[None]:
    """Let SIGTERM and SIGINT stop the daemon; where it runs on another than the main thread, `stopping` must."""
    loop, taken = asyncio.get_running_loop(), []
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stop.set)
        except (RuntimeError, ValueError):
            break
        taken.append(number)
    try:
        yield
    finally:
        for number in taken:
            loop.remove_signal_handler(number)
