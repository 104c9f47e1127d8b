"""The fake registry in a thread of its own, for those who bring no event loop, or one for each command."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.fakes.registry import FakeRegistry

__all__ = ["served_registry"]


@contextmanager
def served_registry(**wishes: Any) -> Iterator[FakeRegistry]:
    """Serve on a free port of 127.0.0.1 while the body runs."""
    ready, over = threading.Event(), threading.Event()
    served: list[FakeRegistry] = []

    async def serve() -> None:
        async with FakeRegistry.serving(**wishes) as registry:
            served.append(registry)
            ready.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(10)
        yield served[0]
    finally:
        over.set()
        thread.join(10)
