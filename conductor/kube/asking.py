"""Ask until there is an answer or time is up, again only where asking twice does no harm."""

from __future__ import annotations

import asyncio
import json

from conductor.errors import ClusterAway, ConductorError, LeadershipLost
from conductor.kube.fence import Fence
from conductor.kube.pause import Pause
from conductor.kube.refusals import error_of
from conductor.kube.requests import Reply, Request, Transport
from conductor.model.cluster import Document

__all__ = ["Asking"]

NOTHING = 0.01
"""Seconds in which nothing can be sent any more."""


class Asking:
    """Carry a request through its tries; a fence is asked before each of them."""

    def __init__(self, *, transport: Transport, fence: Fence | None = None) -> None:
        self._transport, self._fence = transport, fence

    async def document(self, request: Request, doing: str, *, within: float) -> Document:
        """Answer the object that came back. Raises errors of ours alone."""
        reply = await self._reply(request, doing, within)
        try:
            found = json.loads(reply.body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ClusterAway(f"{doing}: the API server's answer is no object")
        return found

    async def _reply(self, request: Request, doing: str, within: float) -> Reply:
        loop = asyncio.get_running_loop()
        until, pause = loop.time() + within, Pause(first=0.1, longest=5.0)
        while True:
            error: ConductorError
            try:
                reply = await self._sent(request, until - loop.time())
            except ClusterAway as exc:
                error, again, wait = exc, request.reads or not exc.sent, 0.0
            else:
                if 200 <= reply.status < 300:
                    return reply
                # 429 says that nothing was done; after another failure only a read may be asked twice.
                again = reply.status == 429 or (request.reads and reply.status >= 500)
                wait = reply.retry_after or 0.0
                error = error_of(reply, doing, secret="/secrets" in request.path)
            wait = max(wait, pause.next())
            if not again or loop.time() + wait >= until:
                raise error
            await asyncio.sleep(wait)

    async def _sent(self, request: Request, within: float) -> Reply:
        if self._fence is None or request.reads:
            return await self._transport.send(request, within=within)
        self._fence.check()
        fenced = Request(
            method=request.method,
            path=request.path,
            query=request.query,
            body=request.body,
            content_type=request.content_type,
            fence=self._fence,
        )
        try:
            return await self._transport.send(fenced, within=min(within, self._fence.left()))
        except ClusterAway as exc:
            if self._fence.left() < NOTHING:
                raise LeadershipLost(f"{exc}; by now another one may lead") from exc
            raise
