"""Blobs on their way here: streamed, taken up again where a connection broke, given up when too slow."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Mapping

import aiohttp

from conductor.errors import ImageDamaged, RegistryAway
from conductor.model.image import Credentials, Descriptor, Reference
from conductor.oci.limits import RegistryLimits
from conductor.oci.persistence import Unsteady, pause
from conductor.oci.registries import Endpoint
from conductor.oci.transport import Ask, Transport
from conductor.oci.wire import steady

__all__ = ["Download", "Sink", "SinkFailed"]

Sink = Callable[[bytes], Awaitable[None] | None]
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


class SinkFailed(Exception):
    """The reader of a blob failed, not the registry; its own error is the cause."""


class Download:
    """One blob; `at` is how far it came, whichever endpoint brought the bytes. Looks at sizes, never at content."""

    def __init__(
        self, *, transport: Transport, reference: Reference, blob: Descriptor, sink: Sink, start: int = 0
    ) -> None:
        self._transport = transport
        self._blob = blob
        self._sink = sink
        self._what = f"{reference.name}: blob {blob.digest}"
        self.at = start
        self._ranges = True

    async def run(self, endpoint: Endpoint, credentials: Credentials | None, attempts: int) -> None:
        """Fetch what is missing from one endpoint.

        Raises `ImageDamaged` (another length than the descriptor's), `RegistryAway`, and as `Transport.send`;
        `SinkFailed` from the reader.
        """
        limits = self._transport.limits
        seconds = limits.grace + (self._blob.size - self.at) / limits.least_rate
        clock = asyncio.timeout(seconds)
        try:
            async with clock:
                await self._persist(endpoint, credentials, attempts, limits)
        except TimeoutError:
            if not clock.expired():
                raise
            raise RegistryAway(
                f"{self._what}: {endpoint.name} was too slow: {self.at} of {self._blob.size} bytes in {seconds:.0f} s"
            ) from None

    async def _persist(
        self, endpoint: Endpoint, credentials: Credentials | None, attempts: int, limits: RegistryLimits
    ) -> None:
        idle = 0
        while self.at < self._blob.size:
            before = self.at
            trouble = await self._some(endpoint, credentials)
            if self.at >= self._blob.size:
                return
            idle = idle + 1 if self.at == before else 1
            if idle >= attempts:
                raise trouble or ImageDamaged(
                    f"{self._what}: {endpoint.name} ends it after {self.at} of {self._blob.size} bytes"
                )
            await pause(idle, trouble or Unsteady(self._what), limits)

    async def _some(self, endpoint: Endpoint, credentials: Credentials | None) -> Unsteady | None:
        """Take one answer as far as it goes; answers what cut it."""
        ask = Ask(
            endpoint=endpoint,
            path=f"blobs/{self._blob.digest}",
            what=self._what,
            # With its end: some registries refuse a range without.
            headers={"Range": f"bytes={self.at}-{self._blob.size - 1}"} if self.at and self._ranges else {},
            credentials=credentials,
            accepts=frozenset({200, 206, 416}),
        )
        try:
            async with self._transport.send(ask) as response:
                await self._take(response, endpoint, self._unwanted(response, endpoint))
        except Unsteady as exc:
            return exc
        return None

    def _unwanted(self, response: aiohttp.ClientResponse, endpoint: Endpoint) -> int:
        """Count the leading bytes that are here already: a registry may answer a range with everything."""
        told, size = response.content_length, self._blob.size
        if response.status == 200:
            if told is not None and told != size:
                raise ImageDamaged(f"{self._what}: {endpoint.name} has {told} bytes, the manifest says {size}")
            return self.at
        if response.status == 416:
            self._ranges = False
            raise Unsteady(f"{self._what}: {endpoint.name} refuses a part of it")
        first, total = _range_of(response.headers)
        if total not in {None, size}:
            raise ImageDamaged(
                f"{self._what}: {endpoint.name} has another length than the {size} bytes of the manifest"
            )
        if first is None or first > self.at:
            raise RegistryAway(f"{self._what}: {endpoint.name} answers with another range than it was asked for")
        return self.at - first

    async def _take(self, response: aiohttp.ClientResponse, endpoint: Endpoint, unwanted: int) -> None:
        while True:
            with steady(endpoint.name, self._transport.limits):
                piece = await response.content.readany()
            if not piece:
                return
            if unwanted:
                dropped = min(unwanted, len(piece))
                piece, unwanted = piece[dropped:], unwanted - dropped
            if self.at + len(piece) > self._blob.size:
                raise ImageDamaged(
                    f"{self._what}: {endpoint.name} sends more than the {self._blob.size} bytes it should have"
                )
            await self._give(piece)

    async def _give(self, piece: bytes) -> None:
        if not piece:
            return
        try:
            waiting = self._sink(piece)
            if inspect.isawaitable(waiting):
                await waiting
        except Exception as exc:
            raise SinkFailed from exc
        self.at += len(piece)


def _range_of(headers: Mapping[str, str]) -> tuple[int | None, int | None]:
    found = _RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if not found:
        return None, None
    return int(found[1]), None if found[3] == "*" else int(found[3])
