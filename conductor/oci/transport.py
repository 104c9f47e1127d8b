"""One call to one endpoint of a registry: authorised, its refusal in a sentence of ours."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from yarl import URL

from conductor.errors import ConductorError, ImageNotFound, ImageTooLarge, RegistryAway, RegistryRefused
from conductor.model.image import Credentials
from conductor.oci.auth import Access, Authorizer
from conductor.oci.challenges import parse_challenges
from conductor.oci.limits import RegistryLimits
from conductor.oci.persistence import Unsteady, retry_after
from conductor.oci.registries import Endpoint
from conductor.oci.wire import Body, Wire, origin_of, spend, steady

__all__ = ["Answer", "Ask", "Transport"]

_OK = frozenset({200})
_BUSY = frozenset({408, 429, 500, 502, 503, 504})
_MOST_WORDS = 16 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request below `/v2/REPOSITORY/`, and what is understood as success."""

    endpoint: Endpoint
    path: str
    what: str
    """Begins every sentence: the reference, or a blob of it."""
    method: str = "GET"
    url: str = ""
    """Instead of `path`: where the registry told an upload to go."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None
    actions: str = "pull"
    credentials: Credentials | None = None
    accepts: frozenset[int] = _OK

    @property
    def target(self) -> str:
        """Address that is asked."""
        return self.url or f"{self.endpoint.root}/{self.path}"

    @property
    def access(self) -> Access:
        """What must be permitted. Credentials that came with a call are for the registry it names, never a mirror."""
        own = None if self.endpoint.mirror else self.credentials
        return Access(endpoint=self.endpoint, actions=self.actions, credentials=own)


@dataclass(frozen=True, slots=True)
class Answer:
    """A small answer, read whole."""

    status: int
    headers: Mapping[str, str]
    """Asked for in any case."""
    body: bytes


class Transport:
    """Send asks; answer 401 once."""

    def __init__(self, *, wire: Wire, authorizer: Authorizer, limits: RegistryLimits) -> None:
        self._wire = wire
        self._authorizer = authorizer
        self.limits = limits

    @asynccontextmanager
    async def send(self, ask: Ask) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send an ask and give its answer. Raises `ImageNotFound`, `RegistryRefused`, `Unsteady`, `RegistryAway`."""
        at_home = origin_of(URL(ask.target, encoded=True)) == origin_of(URL(ask.endpoint.origin))
        secret = self._authorizer.known(ask.access) if at_home else ""
        for may_answer in (at_home, False):
            async with self._wire.send(
                ask.method, ask.target, headers=ask.headers, authorization=secret, body=ask.body
            ) as response:
                offers = parse_challenges(response.headers.getall("WWW-Authenticate", ()))
                asks_us = response.status == 401 and origin_of(response.url) == origin_of(URL(ask.endpoint.origin))
                if not (may_answer and asks_us):
                    if response.status not in ask.accepts:
                        raise await self._refusal(ask, response, secret)
                    yield response
                    return
                await spend(response)
            secret = await self._authorizer.answer(ask.access, offers, secret)

    async def read(self, ask: Ask, most: int) -> Answer:
        """Send an ask and read its answer whole. Raises as `send`, and `ImageTooLarge` past `most` bytes."""
        async with self.send(ask) as response:
            body = await _bounded(response, most, ask.what, self.limits)
            return Answer(response.status, response.headers, body)

    async def _refusal(self, ask: Ask, response: aiohttp.ClientResponse, secret: str) -> ConductorError:
        words = await self._words(response, secret, ask.credentials)
        host, status = ask.endpoint.name, response.status
        told = f"{status}{f', {words}' if words else ''}"
        if status == 404:
            return ImageNotFound(f"{ask.what}: {host} has no such thing ({told})")
        if status in {401, 403}:
            hint = "correct the pull secret" if secret else "give a pull secret, if it exists there at all"
            return RegistryRefused(f"{ask.what}: {host} refuses ({told}); {hint}")
        if status in _BUSY:
            after = retry_after(response.headers.get("Retry-After"))
            wait = f" and asks to wait {after:.0f} s" if after is not None else ""
            return Unsteady(f"{ask.what}: {host} answers {told}{wait}", after=after)
        return RegistryAway(f"{ask.what}: {host} answers {told}, which is no answer to this")

    async def _words(self, response: aiohttp.ClientResponse, secret: str, credentials: Credentials | None) -> str:
        """Read the registry's own words, unless they are long, strange or repeat a secret."""
        try:
            with steady("", self.limits):
                body = await response.content.read(_MOST_WORDS)
            error = json.loads(body)["errors"][0]
            words = f"{error['code']}: {error['message']}"
        except (RegistryAway, ValueError, LookupError, TypeError, RecursionError):
            return ""
        hidden = (secret.partition(" ")[2], credentials.password if credentials else "")
        if any(part and part in words for part in hidden) or not words.isprintable():
            return ""
        return words[:200]


async def _bounded(response: aiohttp.ClientResponse, most: int, what: str, limits: RegistryLimits) -> bytes:
    """Read a whole body of at most `most` bytes. Raises `ImageTooLarge`, `Unsteady`."""
    told = response.content_length
    if told is not None and told > most and response.method != "HEAD":
        raise ImageTooLarge(f"{what} has {told} bytes; at most {most} are read")
    body = bytearray()
    with steady(response.url.host or "", limits):
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > most:
                break
    if len(body) > most:
        raise ImageTooLarge(f"{what} has more than {most} bytes; no more are read")
    return bytes(body)
