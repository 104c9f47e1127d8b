"""Renders off the event loop: one at a time, and scrapes of one variant that come together share one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

from conductor.exporter.page import Page

__all__ = ["Scrapes", "Variant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What a scrape asks of the page."""

    openmetrics: bool
    gzip: bool
    programs: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()


class Scrapes:
    """Render a page in a thread of its own (the default pool may be full of slow work of others)."""

    def __init__(self, *, page: Page, pool: ThreadPoolExecutor) -> None:
        self._page = page
        self._pool = pool
        self._running: dict[Variant, Future[bytes]] = {}

    @classmethod
    @asynccontextmanager
    async def running(cls, *, page: Page) -> AsyncIterator[Scrapes]:
        """Keep the thread until the scope ends."""
        pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="page")
        try:
            yield cls(page=page, pool=pool)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    async def render(self, variant: Variant) -> bytes:
        """Answer the page; joins a render of the same variant that has not ended."""
        running = self._running.get(variant)
        if running is None:
            running = self._pool.submit(self._render, variant)
            self._running[variant] = running
            loop = asyncio.get_running_loop()
            running.add_done_callback(lambda done: loop.call_soon_threadsafe(self._forget, variant, done))
        # Shielded: one impatient client must not take the page from the others.
        return await asyncio.shield(asyncio.wrap_future(running))

    def _forget(self, variant: Variant, done: Future[bytes]) -> None:
        if self._running.get(variant) is done:
            del self._running[variant]

    def _render(self, variant: Variant) -> bytes:
        return self._page.render(
            openmetrics=variant.openmetrics, gzip=variant.gzip, programs=variant.programs, names=variant.names
        )
