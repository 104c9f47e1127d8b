"""A watch that goes on for ever: lists, streams, and lists again where history is gone.

It holds one row per object, so that after a new list only what differs is told. Nothing is queued: whoever is told is
waited for, and the server's own bound on slow watchers ends the stream, which is opened again where it ended.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from conductor.errors import ClusterAway, ConductorError, HistoryGone
from conductor.kube.asking import Asking
from conductor.kube.lines import events
from conductor.kube.pages import pages
from conductor.kube.pause import Pause
from conductor.kube.refusals import error_of, error_of_status
from conductor.kube.requests import Reply, Request, Stream, Transport
from conductor.model.cluster import (
    Document,
    Gone,
    Interrupted,
    Key,
    Put,
    Resource,
    Synced,
    WatchCounts,
    WatchEvent,
)

__all__ = ["Patience", "Watch"]

log = logging.getLogger(__name__)
Row = TypeVar("Row")
CALM = 1.0
"""Seconds after which a stream is worth opening again at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds that a watch waits."""

    answer: float = 30.0
    """For a page of a list, or for a stream to begin."""
    silence: float = 75.0
    """For anything in a stream: a bookmark comes about each minute where anything changed. A frozen server sends
    nothing either; only the next request tells."""
    stream: float = 300.0
    """For a stream to end by itself; each lasts up to twice as long."""
    first: float = 1.0
    longest: float = 30.0
    """Between tries: doubling, and spread, as all agents lose their streams when a server restarts."""


class Watch(Generic[Row]):
    """Follow the objects of one selection."""

    def __init__(
        self,
        *,
        asking: Asking,
        transport: Transport,
        resource: Resource,
        namespace: str,
        query: tuple[tuple[str, str], ...],
        keep: Callable[[Document], Row | None],
        at_most: int,
        counts: WatchCounts,
        patience: Patience,
    ) -> None:
        self._asking, self._transport = asking, transport
        self._resource, self._namespace, self._query = resource, namespace, query
        self._keep, self._at_most = keep, at_most
        self._counts, self._patience = counts, patience
        self._rows: dict[Key, Row] = {}
        self._version = ""
        """From where to stream; empty: list first."""
        self._live = self._away = self._opened = self._streaming = False
        self._pause = Pause(first=patience.first, longest=patience.longest)

    @asynccontextmanager
    async def telling(self) -> AsyncIterator[AsyncIterator[WatchEvent[Row]]]:
        """Answer the events; the stream ends with this scope, wherever the reader stopped."""
        async with aclosing(self._events()) as told:
            yield told

    async def _events(self) -> AsyncGenerator[WatchEvent[Row]]:
        while True:
            self._streaming = False
            try:
                turn = self._streamed() if self._version else self._listed()
                async with aclosing(turn):
                    async for event in turn:
                        yield event
            except HistoryGone:
                self._version = ""
                await self._wait()
            except ConductorError as exc:
                for interruption in self._failed(exc):
                    yield interruption
                await self._wait()

    def _failed(self, exc: ConductorError) -> list[Interrupted]:
        """Tell of a failure once; that a stream broke is none yet, as it may open again at once."""
        self._counts.failures += 1
        self._counts.last_failure = str(exc)
        broke = self._streaming and self._pause.failures == 0
        if broke or self._away:
            return []
        self._live, self._away = False, True
        log.warning("watch %s: %s; it is tried again", self._resource, exc)
        return [Interrupted(exc)]

    async def _wait(self) -> None:
        await asyncio.sleep(self._pause.next())

    # --- listing ----------------------------------------------------------------------------------------------------

    async def _listed(self) -> AsyncGenerator[WatchEvent[Row]]:
        """Tell how the server's objects differ from the rows, page by page; what is not listed is gone."""
        self._counts.relists += self._counts.lists > 0
        self._counts.lists += 1
        self._opened = False
        seen: set[Key] = set()
        version = ""
        within = self._patience.answer
        async for page in pages(self._asking, self._resource, self._namespace, self._query, within=within):
            for item in page.items:
                key = Key.of(item)
                seen.add(key)
                if event := self._put(key, item):
                    yield event
            version = version or page.resource_version
        for key in [key for key in self._rows if key not in seen]:
            yield self._gone(key)
        if not version:
            raise ClusterAway(f"list {self._resource}: the API server's answer has no resourceVersion")
        self._version = version
        yield self._synced()

    def _synced(self) -> Synced:
        self._live, self._away = True, False
        return Synced()

    # --- streaming --------------------------------------------------------------------------------------------------

    async def _streamed(self) -> AsyncGenerator[WatchEvent[Row]]:
        """Tell what changed since the version, until the stream ends."""
        loop = asyncio.get_running_loop()
        began, heard = loop.time(), False
        lasts = self._patience.stream * random.uniform(1.0, 2.0)  # noqa: S311 - spread, not secrecy
        try:
            async with self._transport.stream(self._request(lasts), within=self._patience.answer) as answer:
                if isinstance(answer, Reply):
                    raise error_of(answer, f"watch {self._resource}")
                self._counts.reconnects += self._opened
                self._opened = self._streaming = True
                if not self._live:
                    yield self._synced()
                async with aclosing(self._told(answer)) as told:
                    async for event in told:
                        heard = True
                        if event is not None:
                            yield event
        finally:
            if heard or loop.time() - began > CALM:
                self._pause.reset()
        if not heard and loop.time() - began < CALM:
            raise ClusterAway(f"watch {self._resource}: the API server ended the stream as soon as it began")

    def _request(self, lasts: float) -> Request:
        query = (
            *self._query,
            ("watch", "1"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", self._version),
            ("timeoutSeconds", str(max(1, round(lasts)))),
        )
        return Request(method="GET", path=self._resource.path(self._namespace), query=query)

    async def _told(self, stream: Stream) -> AsyncGenerator[Put[Row] | Gone | None]:
        async with aclosing(events(stream.chunks, self._patience.silence)) as told:
            async for event in told:
                yield self._event(str(event.get("type")), event["object"])

    def _event(self, kind: str, item: dict[str, Any]) -> Put[Row] | Gone | None:
        if kind == "ERROR":
            raise error_of_status(int(item.get("code") or 500), item, f"watch {self._resource}")
        self._version = item["metadata"]["resourceVersion"]
        if kind == "BOOKMARK":
            self._counts.bookmarks += 1
            return None
        self._counts.events += 1
        key = Key.of(item)
        if kind == "DELETED":
            return self._gone(key) if key in self._rows else None
        return self._put(key, item)

    # --- rows -------------------------------------------------------------------------------------------------------

    def _put(self, key: Key, item: Document) -> Put[Row] | Gone | None:
        try:
            row = self._keep(item)
        except ConductorError as exc:
            # One object that cannot be read does not stop the others.
            self._counts.unreadable += 1
            log.warning("watch %s: %s cannot be read: %s", self._resource, key, exc)
            row = None
        if row is None:
            return self._gone(key) if key in self._rows else None
        if self._rows.get(key) == row:
            self._counts.unchanged += 1
            return None
        if key not in self._rows and len(self._rows) >= self._at_most:
            self._counts.left_out += 1
            return None
        self._rows[key] = row
        self._counts.rows = len(self._rows)
        return Put(key, row)

    def _gone(self, key: Key) -> Gone:
        del self._rows[key]
        self._counts.rows = len(self._rows)
        return Gone(key)
