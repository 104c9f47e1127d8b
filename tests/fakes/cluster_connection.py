"""A client's connection to `FakeApi`, with what connections and servers do: delay, freeze, break, lose answers.

A request that reached a frozen server, or one behind a cut, is done when that ends, whether or not its sender still
waits: so it is with real sockets. It is a `conductor.kube.requests.Transport`; time is the loop's.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from conductor.errors import ClusterAway
from conductor.kube.cluster import Cluster
from conductor.kube.requests import Reply, Request, Stream
from tests.fakes.cluster import Change, FakeApi, Place, selected

__all__ = ["FakeConnection", "FakeServer"]

PIECE = 100
"""Bytes of a stream that arrive at once: lines are cut anywhere."""
BOOKMARK_EVERY = 60.0


class Weather:
    """Whether something goes through; what waits does so until it is fair again."""

    def __init__(self) -> None:
        self._fair = asyncio.Event()
        self._fair.set()
        self.held: deque[tuple[FakeConnection, Request]] = deque()

    @property
    def stands(self) -> bool:
        return not self._fair.is_set()

    def stop(self) -> None:
        self._fair.clear()

    def go_on(self) -> None:
        """Do what arrived meanwhile and was given up by its sender, then the rest."""
        self._fair.set()
        while self.held:
            connection, request = self.held.popleft()
            connection.api.answer(connection.who, request)

    async def wait(self) -> None:
        await self._fair.wait()


@dataclass
class FakeServer:
    """What all connections share."""

    api: FakeApi = field(default_factory=FakeApi)
    frozen: Weather = field(default_factory=Weather)
    down: bool = False
    streams: set[FakeStream] = field(default_factory=set)

    def stop(self) -> None:
        """Refuse connections; streams break."""
        self.down = True
        self.break_streams()

    def start(self) -> None:
        """Serve again, with what was kept."""
        self.down = False

    def break_streams(self) -> None:
        """Cut every watch, in the middle of an event."""
        for stream in tuple(self.streams):
            stream.broken()

    def client(self, who: str = "admin") -> FakeConnection:
        """Connect."""
        return FakeConnection(server=self, who=who)


@dataclass
class FakeConnection:
    """One client's way to the server."""

    server: FakeServer
    who: str
    cut: Weather = field(default_factory=Weather)
    delay: float = 0.0
    """Seconds of each way."""
    loses: int = 0
    """Answers that will get lost after the work was done."""
    replies: deque[Reply] = field(default_factory=deque)
    """Answered instead, one each, without doing anything."""
    sent: int = 0

    @property
    def api(self) -> FakeApi:
        return self.server.api

    @property
    def cluster(self) -> Cluster:
        """Our client over this connection."""
        return Cluster(transport=self)

    async def send(self, request: Request, *, within: float) -> Reply:
        if self.server.down:
            raise ClusterAway("connection refused", sent=False)
        try:
            async with asyncio.timeout(within):
                return await self._sent(request)
        except TimeoutError:
            raise ClusterAway(f"no answer within {within:g} s") from None

    async def _sent(self, request: Request) -> Reply:
        if request.fence is not None:
            request.fence.check()
        self.sent += 1
        await asyncio.sleep(self.delay)
        await self._through(request)
        reply = self.replies.popleft() if self.replies else self.api.answer(self.who, request)
        if self.loses > 0:
            self.loses -= 1
            raise ClusterAway("the connection ended before the answer")
        await asyncio.sleep(self.delay)
        return reply

    async def _through(self, request: Request | None) -> None:
        for weather in (self.cut, self.server.frozen):
            try:
                await weather.wait()
            except asyncio.CancelledError:
                if request is not None and not request.reads:
                    weather.held.append((self, request))
                raise

    @asynccontextmanager
    async def stream(self, request: Request, *, within: float) -> AsyncIterator[Stream | Reply]:
        if self.server.down:
            raise ClusterAway("connection refused", sent=False)
        try:
            async with asyncio.timeout(within):
                await self._through(None)
        except TimeoutError:
            raise ClusterAway(f"no answer within {within:g} s") from None
        query = dict(request.query)
        refused = self.api.answer(self.who, request) if self.api.refuse(self.who, request) else None
        refused = refused or self.api.refused_watch(int(query["resourceVersion"]))
        if self.replies:
            refused = self.replies.popleft()
        if refused is not None:
            yield refused
            return
        stream = FakeStream(connection=self, request=request)
        self.server.streams.add(stream)
        self.api.changed.append(stream.changed)
        try:
            yield Stream(chunks=stream.chunks())
        finally:
            self.server.streams.discard(stream)
            self.api.changed.remove(stream.changed)


class FakeStream:
    """One watch."""

    def __init__(self, *, connection: FakeConnection, request: Request) -> None:
        self._connection = connection
        self._place, self._query = Place.of(request.path), dict(request.query)
        self._pieces: deque[bytes] = deque()
        self._awake = asyncio.Event()
        self._broken = False
        self._told = int(self._query["resourceVersion"])
        for change in connection.api.changes:
            if change.revision > self._told:
                self.changed(change)

    def changed(self, change: Change) -> None:
        """Put an event in line, as it looks from within the selection."""
        if change.collection != self._place.collection:
            return
        before, after = (item if item and self._in(item) else None for item in (change.before, change.after))
        item = after or before
        if item is not None:
            kind = "DELETED" if after is None else "MODIFIED" if before else "ADDED"
            metadata = {**item["metadata"], "resourceVersion": str(change.revision)}
            self._line({"type": kind, "object": {**item, "metadata": metadata}}, change.revision)

    def broken(self) -> None:
        """End in the middle of what is in line."""
        if self._pieces:
            self._pieces = deque(list(self._pieces)[:1])
            self._pieces[0] = self._pieces[0][: len(self._pieces[0]) // 2]
        self._broken = True
        self._awake.set()

    async def chunks(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        ends = loop.time() + float(self._query["timeoutSeconds"])
        while True:
            while self._pieces:
                await self._fair()
                yield self._pieces.popleft()
            await self._fair()
            if self._broken:
                raise ClusterAway("the connection ended during a watch")
            if (left := ends - loop.time()) <= 0:
                return
            self._awake.clear()
            try:
                async with asyncio.timeout(min(left, BOOKMARK_EVERY)):
                    await self._awake.wait()
            except TimeoutError:
                self._bookmark()

    async def _fair(self) -> None:
        for weather in (self._connection.cut, self._connection.server.frozen):
            await weather.wait()

    def _bookmark(self) -> None:
        revision = self._connection.api.revision
        if revision > self._told:
            self._line({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(revision)}}}, revision)

    def _line(self, event: object, revision: int) -> None:
        line = json.dumps(event).encode() + b"\n"
        self._pieces.extend(line[at : at + PIECE] for at in range(0, len(line), PIECE))
        self._told = revision
        self._awake.set()

    def _in(self, item: dict[str, object]) -> bool:
        metadata = item["metadata"]
        assert isinstance(metadata, dict)
        return self._place.namespace in ("", metadata.get("namespace", "")) and selected(item, self._query)
