"""Pull an image: what its reference means now, whether it is trusted, then its bytes; or what the store has of it.

The policy says whether the registry is asked, and a digest says what it may answer. Nothing is looked into before its
bytes are what their digest names, and nothing is used that is not wholly in the store.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Protocol, Self

from conductor.errors import (
    ConductorError,
    ImageDamaged,
    ImageNotFound,
    StateUnwritable,
    StoreFull,
)
from conductor.model.image import Credentials, ImageKind, Platform, PullPhase, PullProgress, Reference
from conductor.model.kernel import PullPolicy
from conductor.oci.client import RegistryClient
from conductor.oci.fetching import Errand, Fetcher, Resolved
from conductor.oci.flights import Flights, Listener, in_thread
from conductor.oci.landing import PullLimits
from conductor.oci.platforms import node_platform
from conductor.oci.records import ImageRecord
from conductor.oci.store import ImageStore

__all__ = ["ImageVerifier", "PullCounts", "Pulled", "Puller"]

_LOOK_SECONDS: Final = 3.0
_DEFAULTS: Final = PullLimits()
log = logging.getLogger(__name__)


class _Verdict(Protocol):
    @property
    def by(self) -> str: ...
    @property
    def audited(self) -> str: ...


class ImageVerifier(Protocol):
    """What says whether an image may run. Raises `ImageUntrusted`."""

    async def check(self, ref: Reference, digest: str, *, credentials: Credentials | None = None) -> _Verdict:
        """Answer that it may, and by whose word."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """An image that lies in the store."""

    reference: Reference
    digest: str
    """What the reference resolved to: pin this."""
    kind: ImageKind
    content: str
    """Digest of the file that runs."""
    path: Path
    """That file, its bytes checked."""
    size: int
    annotations: Mapping[str, str]
    functions: Mapping[str, str]
    """Of bytecode: program -> type, as the labels have it; empty where there are none."""
    maps: Mapping[str, str]
    verdict: str = ""
    note: str = ""
    """What whoever asked should know, such as that a tag moved."""

    @classmethod
    def of(cls, record: ImageRecord, path: Path, reference: Reference, note: str = "") -> Self:
        """Tell of a record's file."""
        return cls(
            reference=reference,
            digest=record.digest,
            kind=record.kind,
            content=record.content,
            path=path,
            size=record.size,
            annotations=record.annotations,
            functions=record.functions,
            maps=record.maps,
            verdict=record.verdict,
            note=note,
        )


@dataclass(frozen=True, slots=True)
class PullCounts:
    """What was done since the start."""

    fetched_bytes: int
    shared: int
    """Pulls that waited for another of the same image."""


class Puller:
    """Bring images into the store. `node` and `byte_order` are this machine's."""

    def __init__(
        self,
        *,
        client: RegistryClient,
        store: ImageStore,
        verifier: ImageVerifier | None,
        limits: PullLimits = _DEFAULTS,
        node: Platform | None = None,
        byte_order: str = sys.byteorder,
    ) -> None:
        self._client, self._store, self._verifier = client, store, verifier
        self._node = node or node_platform()
        self._fetcher = Fetcher(client=client, store=store, limits=limits, node=self._node, byte_order=byte_order)
        self._resolves: Flights[Resolved] = Flights()
        self._checks: Flights[tuple[str, str]] = Flights()
        self._pulls: Flights[tuple[ImageRecord, Path]] = Flights()

    @property
    def counts(self) -> PullCounts:
        """What was done since the start."""
        return PullCounts(self._fetcher.fetched_bytes, self._pulls.shared)

    async def pull(
        self,
        ref: Reference,
        kind: ImageKind | None,
        *,
        policy: PullPolicy,
        credentials: Credentials | None = None,
        pinned: str = "",
        progress: Callable[[PullProgress], None] = lambda _: None,
        holder: str = "",
    ) -> Pulled:
        """Bring an image into the store, or find it there as the policy allows; `kind` None takes either.

        `pinned`, or a digest in the reference, is what it must be, whatever the tag names now: with it the policy only
        says whether a registry may be asked. `holder` keeps it from eviction at once (`ImageStore.release`).
        Raises `ImageNotFound`, `ImageUnusable`, `ImageUntrusted`, `ImageDamaged`, `ImageTooLarge`, `RegistryAway`,
        `RegistryRefused`, `StoreFull`, `StateUnwritable`.
        """
        tell = _teller(ref, progress)
        with _named(ref):
            tell(PullPhase.RESOLVE, 0, 0)
            resolved, note = await self._resolve(ref, kind, policy, credentials, pinned)
            tell(PullPhase.VERIFY, 0, 0)
            verdict, audited = await self._verified(ref, resolved.digest, credentials)
            errand = Errand(reference=ref, kind=kind, credentials=credentials, verdict=verdict, resolved=resolved)
            record, path = await self._brought(errand, policy, tell)
            if holder:
                self._store.hold(record.digest, holder)
            await in_thread(partial(self._remember, ref, record, pinned))
        tell(PullPhase.DONE, record.size, record.size)
        return Pulled.of(
            record, path, ref, "; ".join(filter(None, (note, audited and f"the image policy only audits: {audited}")))
        )

    def held(self, digest: str, kind: ImageKind | None = None) -> Pulled | None:
        """Find what was pulled by the digest it resolved to. The first time in a process its bytes are read."""
        record = self._store.record(digest, kind, architecture=self._node.architecture)
        path = self._store.use(record, counts=False) if record is not None else None
        return Pulled.of(record, path, Reference.parse(record.reference)) if record and path else None

    async def check(self, digests: Collection[str]) -> None:
        """Read what is pinned before it is asked for, so that `held` answers at once; damage is removed."""
        for digest in digests:
            await in_thread(partial(self.held, digest))

    # --- the steps -----------------------------------------------------------------------------------------------

    async def _resolve(
        self, ref: Reference, kind: ImageKind | None, policy: PullPolicy, credentials: Credentials | None, pinned: str
    ) -> tuple[Resolved, str]:
        """Tell which digest it is to be, and what to say of it."""
        fixed = pinned or ref.digest
        known = fixed or (self._store.tagged(ref) if policy is not PullPolicy.ALWAYS else "")
        here = bool(known) and self._record(known, kind) is not None
        if policy is PullPolicy.NEVER and not here:
            raise ImageNotFound(
                f"{ref} is not in this node's image cache{f' as {known}' if known else ''}, and its pull policy is "
                "Never; pull it first (conductor pull), or use IfNotPresent"
            )
        if fixed or here:
            looks = here and bool(ref.tag) and not ref.digest and policy is PullPolicy.IF_NOT_PRESENT
            return Resolved(known), await self._moved(ref, known, credentials) if looks else ""
        return await self._resolves.share((ref, credentials), partial(self._ask, ref, credentials)), ""

    async def _ask(self, ref: Reference, credentials: Credentials | None, _: Listener) -> Resolved:
        """Ask the registry; only for the digest where what the tag named last is here."""
        last = self._store.tagged(ref)
        if (
            last
            and self._record(last, None) is not None
            and await self._client.head(ref, credentials=credentials) == last
        ):
            return Resolved(last)
        manifest = await self._client.manifest(ref, credentials=credentials)
        return Resolved(manifest.digest, manifest)

    async def _moved(self, ref: Reference, known: str, credentials: Credentials | None) -> str:
        """Say so if the tag names something else now; a registry that does not answer soon is no matter."""
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                now = await self._client.head(ref, credentials=credentials)
        except (ConductorError, TimeoutError) as exc:
            log.debug("%s: whether the tag moved is not known: %s", ref, exc)
            return ""
        if now == known:
            return ""
        return (
            f"tag {ref.tag} moved: it names {now} now, and {known} is kept; update with the pull policy Always to "
            "take the new one"
        )

    async def _verified(self, ref: Reference, digest: str, credentials: Credentials | None) -> tuple[str, str]:
        """Tell by whose word it may run, and what a rule that only audits would have refused it for."""
        verifier = self._verifier
        if verifier is None:
            return "", ""

        async def check(_: Listener) -> tuple[str, str]:
            verdict = await verifier.check(ref, digest, credentials=credentials)
            return verdict.by, verdict.audited

        return await self._checks.share((ref, digest, credentials), check)

    async def _brought(self, errand: Errand, policy: PullPolicy, tell: Listener) -> tuple[ImageRecord, Path]:
        """Find it in the store, or fetch it; together with whoever does so now."""
        ref, digest = errand.reference, errand.resolved.digest

        async def bring(listener: Listener) -> tuple[ImageRecord, Path]:
            found = await in_thread(partial(self._find, digest, errand.kind))
            if found is not None:
                return found
            if policy is PullPolicy.NEVER:
                raise ImageDamaged(f"{ref}: its file was damaged on disk and is removed; pull it again")
            self._store.missed()
            return await self._fetcher.fetch(errand, listener)

        like = (ref.name, errand.credentials, policy is PullPolicy.NEVER)
        record, path = await self._pulls.share((digest, errand.kind), bring, like=like, listener=tell)
        return replace(record, reference=str(ref), verdict=errand.verdict), path

    def _record(self, digest: str, kind: ImageKind | None) -> ImageRecord | None:
        return self._store.record(digest, kind, architecture=self._node.architecture)

    def _find(self, digest: str, kind: ImageKind | None) -> tuple[ImageRecord, Path] | None:
        record = self._record(digest, kind)
        path = self._store.use(record) if record is not None else None
        return (record, path) if record is not None and path is not None else None

    def _remember(self, ref: Reference, record: ImageRecord, pinned: str) -> None:
        """Write down under which name it was asked for. The image is there: a disk that refuses this is no failure."""
        try:
            self._store.amend(record)
            if ref.tag and not ref.digest and not pinned:
                self._store.tag(ref, record.digest)
        except (StoreFull, StateUnwritable) as exc:
            log.warning("%s is in the cache, but not that its tag named it: %s", ref, exc)


def _teller(ref: Reference, progress: Callable[[PullProgress], None]) -> Listener:
    name = str(ref)

    def tell(phase: PullPhase, done: int, total: int) -> None:
        progress(PullProgress(name, phase, done, total))

    return tell


@contextmanager
def _named(ref: Reference) -> Iterator[None]:
    """Begin every sentence on an image with its name."""
    try:
        yield
    except ConductorError as exc:
        if ref.name not in str(exc):
            exc.args = (f"{ref}: {exc}",)
        raise
