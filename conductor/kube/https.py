"""Requests over HTTPS, by the session that kubernetes-asyncio's REST client makes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import version
from typing import Any, Self

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from typing_extensions import override
from yarl import URL

from conductor.errors import ClusterAway, InvalidConfig
from conductor.kube.access import Access
from conductor.kube.fence import Fence
from conductor.kube.library import rest
from conductor.kube.requests import Reply, Request, Stream
from conductor.kube.tls import settings
from conductor.kube.token import TokenFile

__all__ = ["Https"]

CONNECT = 5.0
"""Seconds for TCP and TLS; a frozen server accepts and says nothing."""
LARGEST = 64 << 20
"""Bytes of one answer; a page of objects stays far below."""
LARGEST_REFUSAL = 64 << 10


class Https:
    """Carry requests to one API server. Owns the session and its connections."""

    def __init__(self, *, access: Access, session: Any, proxy: str) -> None:
        self._access, self._session, self._proxy = access, session, proxy
        self._token = TokenFile(path=access.token_file) if access.token_file else None
        self._agent = f"ebpfconductor/{version('ebpfconductor')}"

    @classmethod
    @asynccontextmanager
    async def connected(cls, access: Access) -> AsyncIterator[Self]:
        """Read certificates and make the session; connections come with the first requests. Raises `InvalidConfig`."""
        try:
            with settings(access) as given:
                client = rest().RESTClientObject(given)
        except (OSError, ssl.SSLError) as exc:
            problem = f"its certificates or key cannot be used: {exc.strerror or type(exc).__name__}"
            raise InvalidConfig((("kubeconfig", problem),)) from None
        try:
            yield cls(access=access, session=client.pool_manager, proxy=access.proxy)
        finally:
            await client.close()

    async def send(self, request: Request, *, within: float) -> Reply:
        """Ask, once more with a new token where the old one ended. Raises `ClusterAway` and `LeadershipLost`."""
        with _told(request, within):
            async with asyncio.timeout(within):
                reply = await self._sent(request)
                if reply.status == 401 and self._token is not None and self._token.read_again():
                    reply = await self._sent(request)
        return reply

    @asynccontextmanager
    async def stream(self, request: Request, *, within: float) -> AsyncIterator[Stream | Reply]:
        """Open a stream within that time. Raises `ClusterAway`."""
        with _told(request, within):
            async with asyncio.timeout(within):
                answer = await self._opened(request)
                if answer.status == 401 and self._token is not None and self._token.read_again():
                    answer.close()
                    answer = await self._opened(request)
        try:
            if answer.status != 200:
                with _told(request, within):
                    async with asyncio.timeout(within):
                        reply = await _reply(answer)
                yield reply
            else:
                yield Stream(chunks=_chunks(answer, request))
        finally:
            answer.close()

    async def _sent(self, request: Request) -> Reply:
        answer = await self._opened(request)
        try:
            return await _reply(answer)
        finally:
            answer.release()

    async def _opened(self, request: Request) -> aiohttp.ClientResponse:
        headers = {"Accept": "application/json", "User-Agent": self._agent}
        if self._token is not None or self._access.token:
            headers["Authorization"] = f"Bearer {self._token.now() if self._token else self._access.token}"
        answer: aiohttp.ClientResponse = await self._session.request(
            request.method,
            URL(self._access.server + request.path).with_query(request.query),
            headers=headers,
            data=None if request.body is None else _Body(request.body, request.content_type, request.fence),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT),
            allow_redirects=False,
            server_hostname=self._access.server_name or None,
            proxy=self._proxy or None,
        )
        return answer


class _Body(aiohttp.BytesPayload):
    """A body that asks the fence when it leaves: a connection may have been waited for. Headers leave with it."""

    def __init__(self, content: bytes, content_type: str, fence: Fence | None) -> None:
        super().__init__(content, content_type=content_type)
        self._fence = fence

    @override
    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        if self._fence is not None:
            self._fence.check()
        await super().write_with_length(writer, content_length)


async def _reply(answer: aiohttp.ClientResponse) -> Reply:
    most = LARGEST if answer.status < 300 else LARGEST_REFUSAL
    content = bytearray()
    async for chunk in answer.content.iter_any():
        content += chunk
        if len(content) > most:
            answer.close()
            raise ClusterAway(f"the API server's answer is larger than {most >> 10} KiB")
    after = answer.headers.get("Retry-After", "")
    return Reply(status=answer.status, body=bytes(content), retry_after=float(after) if after.isdigit() else None)


async def _chunks(answer: aiohttp.ClientResponse, request: Request) -> AsyncIterator[bytes]:
    with _told(request, 0):
        async for chunk in answer.content.iter_any():
            yield chunk


@contextmanager
def _told(request: Request, within: float) -> Iterator[None]:
    """Translate what aiohttp and TLS raise; their texts name hosts and ports, no credentials."""
    doing = f"{request.method} {request.path}"
    try:
        yield
    except TimeoutError as exc:
        sent = not isinstance(exc, aiohttp.ConnectionTimeoutError)
        raise ClusterAway(f"the API server did not answer {doing} within {within:g} s", sent=sent) from None
    except aiohttp.ClientConnectorError as exc:
        raise ClusterAway(f"the API server cannot be reached for {doing}: {exc}", sent=False) from None
    except (aiohttp.ClientError, OSError) as exc:
        if request.fence is not None:
            request.fence.check()
        raise ClusterAway(f"the API server ended its connection during {doing}: {type(exc).__name__}") from None
