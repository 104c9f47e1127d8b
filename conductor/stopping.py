"""Told to stop: signals become an event, and a process that does not come to an end is ended."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["give_up", "stop_signals"]

log = logging.getLogger(__name__)


@contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """Turn SIGTERM and SIGINT into an event; the second one ends the process at once."""
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()

    def stop() -> None:
        if stopping.is_set():
            give_up("told to stop a second time")
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        yield stopping
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def give_up(why: str) -> None:
    """End at once: wishes and kernel programs are safe on disk and in the kernel."""
    log.error("%s: leaving everything as it is", why)
    os._exit(1)
