"""The registry client: everything that is asked of registries, mirrors first, whatever is told checked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from conductor.errors import ConductorError, ImageDamaged, ImageTooLarge, RegistryAway
from conductor.model.image import Credentials, Descriptor, Reference
from conductor.oci.auth import Authorizer
from conductor.oci.blobs import Download, Sink, SinkFailed
from conductor.oci.keyring import Keyring
from conductor.oci.limits import RegistryLimits
from conductor.oci.manifests import ACCEPTED, Manifest, digest_of
from conductor.oci.persistence import Unsteady, persistently, within
from conductor.oci.push import Progress, Pusher, Source
from conductor.oci.referrers import list_referrers
from conductor.oci.registries import Endpoint, RegistriesConfig
from conductor.oci.tokens import TokenServer
from conductor.oci.transport import Answer, Ask, Transport
from conductor.oci.wire import Wire

__all__ = ["RegistryClient"]

T = TypeVar("T")
log = logging.getLogger(__name__)

_DEFAULTS = RegistryLimits()
_NO_HEAD = frozenset({404, 405})
_ANSWERS = frozenset({200, 401, 403, 404})


def _silent(_done: int, _total: int) -> None:
    """Tell nobody."""


class RegistryClient:
    """Ask registries. `direct` leaves mirrors out; `credentials` are shown to the named registry alone.

    Every call may raise `ImageNotFound`, `RegistryRefused`, `RegistryAway`.
    """

    def __init__(self, *, transport: Transport, registries: RegistriesConfig) -> None:
        self._transport = transport
        self._registries = registries
        self._resting: dict[str, float] = {}

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, *, registries: RegistriesConfig, limits: RegistryLimits = _DEFAULTS
    ) -> AsyncIterator[RegistryClient]:
        """Own the connections. Raises `InvalidConfig` where files that the settings name cannot be read."""
        async with Wire.opened(registries=registries, limits=limits) as wire:
            tokens = TokenServer(wire=wire, registries=registries, limits=limits)
            authorizer = Authorizer(keyring=Keyring(registries=registries), tokens=tokens)
            transport = Transport(wire=wire, authorizer=authorizer, limits=limits)
            yield cls(transport=transport, registries=registries)

    # --- pull ---------------------------------------------------------------------------------------------------------

    async def manifest(
        self, ref: Reference, *, credentials: Credentials | None = None, direct: bool = False
    ) -> Manifest:
        """Get a manifest or index as the registry holds it, its digest computed and checked.

        Raises `ImageDamaged`, `ImageTooLarge`, `ImageUnusable` besides.
        """

        async def get(endpoint: Endpoint) -> Manifest:
            ask = self._manifest_ask(endpoint, ref, credentials)
            answer = await self._transport.read(ask, self._limits.manifest)
            told, type_ = _header(answer, "Docker-Content-Digest"), _header(answer, "Content-Type")
            return Manifest.read(ref, answer.body, content_type=type_, told=told, most=self._limits.manifest)

        async with within(self._limits.call, str(ref)):
            return await self._first(ref, get, direct=direct)

    async def head(self, ref: Reference, *, credentials: Credentials | None = None, direct: bool = False) -> str:
        """Answer the digest that a reference stands for now."""

        async def look(endpoint: Endpoint) -> str:
            ask = self._manifest_ask(endpoint, ref, credentials, method="HEAD", accepts=frozenset({200}) | _NO_HEAD)
            answer = await self._transport.read(ask, self._limits.manifest)
            told = _header(answer, "Docker-Content-Digest")
            if answer.status == 200 and told.startswith("sha256:") and told == (ref.digest or told):
                return told
            # Some registries know no HEAD, or do not tell the digest: the bytes do.
            ask = self._manifest_ask(endpoint, ref, credentials)
            body = (await self._transport.read(ask, self._limits.manifest)).body
            if (digest := digest_of(body)) != (ref.digest or digest):
                raise ImageDamaged(f"{ref}: the manifest's bytes have digest {digest}")
            return digest

        async with within(self._limits.call, str(ref)):
            return await self._first(ref, look, direct=direct)

    async def blob(
        self,
        ref: Reference,
        blob: Descriptor,
        sink: Sink,
        *,
        start: int = 0,
        credentials: Credentials | None = None,
        direct: bool = False,
    ) -> None:
        """Stream a blob into `sink` from byte `start` on; a broken connection is taken up where it broke.

        Only the length is checked: whoever keeps the bytes hashes them, and asks again with `direct` if they are not
        what the digest names, since a mirror may be at fault. Raises `ImageDamaged`, `ImageTooLarge`; errors of `sink`
        leave as they are.
        """
        self._refuse_large(ref, blob, self._limits.blob)
        download = Download(transport=self._transport, reference=ref, blob=blob, sink=sink, start=start)

        async def fetch(endpoint: Endpoint) -> None:
            await download.run(endpoint, credentials, self._attempts(endpoint))

        try:
            await self._first(ref.at(blob.digest), fetch, direct=direct, again=False)
        except SinkFailed as exc:
            raise exc.__cause__ or exc from None

    async def small_blob(
        self,
        ref: Reference,
        blob: Descriptor,
        *,
        limit: int,
        credentials: Credentials | None = None,
        direct: bool = False,
    ) -> bytes:
        """Get a blob of at most `limit` bytes whole, its digest checked. Raises `ImageDamaged`, `ImageTooLarge`."""
        self._refuse_large(ref, blob, limit)

        async def fetch(endpoint: Endpoint) -> bytes:
            body = bytearray()
            download = Download(transport=self._transport, reference=ref, blob=blob, sink=body.extend)
            await download.run(endpoint, credentials, self._attempts(endpoint))
            if (found := digest_of(bytes(body))) != blob.digest:
                raise ImageDamaged(f"{ref.name}: blob {blob.digest} has bytes of digest {found} at {endpoint.name}")
            return bytes(body)

        return await self._first(ref.at(blob.digest), fetch, direct=direct, again=False)

    async def referrers(
        self, ref: Reference, digest: str, *, credentials: Credentials | None = None, direct: bool = False
    ) -> tuple[Descriptor, ...]:
        """List what refers to a digest, by the API or the tag that stands in for it; unfiltered, maybe empty.

        A mirror that tells none is not believed: upstream is asked. Raises `ImageUnusable`, `ImageTooLarge`.
        """

        async def look(endpoint: Endpoint) -> tuple[Descriptor, ...]:
            found = await list_referrers(self._transport, endpoint, ref, digest, credentials)
            if endpoint.mirror and not found:
                raise RegistryAway(f"{endpoint.name} tells no referrers")
            return found

        async with within(self._limits.call, f"{ref.at(digest)}: its referrers"):
            return await self._first(ref.at(digest), look, direct=direct, rests=False)

    async def reach(self, registry: str) -> None:
        """Make sure that a registry answers at all, whatever it lets us see. Raises `RegistryAway`, `RegistryRefused`.

        distribution-spec 1.1: `GET /v2/` is 200, or 401 where it wants to know who asks.
        """
        endpoint = self._registries.endpoints(Reference(registry, "any", "any"), direct=True)[-1]
        ask = Ask(endpoint=endpoint, path="", url=f"{endpoint.origin}/v2/", what=registry, accepts=_ANSWERS)
        async with within(self._limits.connect, registry):
            try:
                await self._transport.read(ask, self._limits.manifest)
            except Unsteady as exc:
                raise RegistryAway(str(exc)) from None

    # --- push ---------------------------------------------------------------------------------------------------------

    async def has_blob(self, ref: Reference, digest: str, *, credentials: Credentials | None = None) -> bool:
        """Ask the named registry, no mirror, whether its repository holds a blob."""
        async with within(self._limits.call, str(ref)):
            return await self._pusher(ref, credentials).has_blob(digest)

    async def push_blob(
        self,
        ref: Reference,
        data: bytes | Path,
        *,
        media_type: str = "application/octet-stream",
        credentials: Credentials | None = None,
        progress: Progress = _silent,
    ) -> Descriptor:
        """Push bytes or a file unless they are there; answers how a manifest names them. Raises `ImageDamaged`."""
        source = Source(data)
        size, digest = await asyncio.to_thread(source.size), await asyncio.to_thread(source.digest)
        seconds = self._limits.call + size / self._limits.least_rate
        async with within(seconds, f"{ref.name}: pushing blob {digest}"):
            await self._pusher(ref, credentials).push_blob(source, digest, size, progress)
        return Descriptor(media_type, digest, size)

    async def push_manifest(
        self, ref: Reference, body: bytes, media_type: str, *, credentials: Credentials | None = None
    ) -> str:
        """Push a manifest or index under the reference; answers its digest.

        One with a `subject` is also listed among the referrers where the registry does not do that itself.
        Raises `ImageDamaged`.
        """
        async with within(self._limits.call, f"{ref}: pushing the manifest"):
            return await self._pusher(ref, credentials).push_manifest(body, media_type)

    # --- where to ask -------------------------------------------------------------------------------------------------

    @property
    def _limits(self) -> RegistryLimits:
        return self._transport.limits

    def _attempts(self, endpoint: Endpoint) -> int:
        return self._limits.mirror_attempts if endpoint.mirror else self._limits.attempts

    def _pusher(self, ref: Reference, credentials: Credentials | None) -> Pusher:
        endpoint = self._registries.endpoints(ref, direct=True)[-1]
        return Pusher(transport=self._transport, endpoint=endpoint, reference=ref, credentials=credentials)

    async def _first(
        self,
        ref: Reference,
        work: Callable[[Endpoint], Awaitable[T]],
        *,
        direct: bool,
        again: bool = True,
        rests: bool = True,
    ) -> T:
        """Do work at the first endpoint that can: mirrors in their order, then the registry itself."""
        now = asyncio.get_running_loop().time()
        passed: list[str] = []
        for endpoint in self._registries.endpoints(ref, direct=direct):
            if endpoint.mirror and self._resting.get(endpoint.origin, now) > now:
                continue
            try:
                attempts = self._attempts(endpoint) if again else 1
                return await persistently(partial(work, endpoint), limits=self._limits, attempts=attempts)
            except ConductorError as exc:
                if not endpoint.mirror:
                    raise _with_mirrors(exc, passed) from None
                passed.append(f"{endpoint.name}: {exc}")
                log.info("mirror passed over: %s", exc)
                if rests and isinstance(exc, RegistryAway):
                    self._resting[endpoint.origin] = now + self._limits.mirror_rest
        raise AssertionError("the registry itself is always asked")

    def _manifest_ask(
        self,
        endpoint: Endpoint,
        ref: Reference,
        credentials: Credentials | None,
        method: str = "GET",
        accepts: frozenset[int] = frozenset({200}),
    ) -> Ask:
        return Ask(
            endpoint=endpoint,
            path=f"manifests/{ref.wanted}",
            what=str(ref),
            method=method,
            headers={"Accept": ", ".join(ACCEPTED)},
            credentials=credentials,
            accepts=accepts,
        )

    def _refuse_large(self, ref: Reference, blob: Descriptor, limit: int) -> None:
        if blob.size > limit:
            raise ImageTooLarge(f"{ref.name}: blob {blob.digest} has {blob.size} bytes; at most {limit} are fetched")


def _header(answer: Answer, name: str) -> str:
    return answer.headers.get(name, "")


def _with_mirrors(exc: ConductorError, passed: list[str]) -> ConductorError:
    """Say of the last failure that mirrors failed before."""
    if passed:
        exc.args = (f"{exc} (mirrors before: {'; '.join(passed)[:500]})",)
    return exc
