"""Fetch an image that is not in the store: manifest, config, layer; each checked before it is looked into."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from conductor.errors import ImageDamaged, ImageUnusable
from conductor.model.image import Credentials, Descriptor, ImageKind, Platform, PullPhase, Reference
from conductor.oci.client import RegistryClient
from conductor.oci.flights import Listener, in_thread
from conductor.oci.forms import Form, Parts, classify, kind_of
from conductor.oci.incoming import Incoming
from conductor.oci.landing import Landing, PullLimits
from conductor.oci.manifests import Manifest
from conductor.oci.platforms import choose, entries_of
from conductor.oci.records import ImageRecord
from conductor.oci.store import ImageStore

__all__ = ["Errand", "Fetcher", "Resolved"]

_DEPTH: Final = 2
"""Indexes of indexes; more than one is nobody's habit."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a reference stands for; the manifest where it was fetched to find out."""

    digest: str
    manifest: Manifest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """One image to fetch, and for whom."""

    reference: Reference
    kind: ImageKind | None
    credentials: Credentials | None
    verdict: str
    resolved: Resolved


class Fetcher:
    """Fetch images into the store, few at a time."""

    def __init__(
        self, *, client: RegistryClient, store: ImageStore, limits: PullLimits, node: Platform, byte_order: str
    ) -> None:
        self._client, self._store, self._limits, self._node = client, store, limits, node
        self._byte_order = byte_order
        self._gate = asyncio.Semaphore(limits.downloads)
        self.fetched_bytes = 0
        """Of layers, whatever became of them."""

    async def fetch(self, errand: Errand, tell: Listener) -> tuple[ImageRecord, Path]:
        """Bring an image into the store. Raises as `Puller.pull`."""
        async with self._gate:
            tell(PullPhase.FETCH, 0, 0)
            manifest = await self._manifest(errand)
            forms = await self._forms(errand, manifest)
            landing = Landing(
                store=self._store,
                reference=str(errand.reference),
                digest=errand.resolved.digest,
                node=self._node,
                verdict=errand.verdict,
                limits=self._limits,
                byte_order=self._byte_order,
            )
            for layer in forms[0].layers:
                landing.refuse_large(forms[0], layer)
            for layer in forms[0].layers:
                found = await self._layer(errand, layer, forms, landing, tell)
                if found is not None:
                    return found
            raise landing.nothing(forms)

    async def _manifest(self, errand: Errand) -> Manifest:
        """Follow indexes to the manifest for this node."""
        found = errand.resolved.manifest
        if found is None:
            found = await self._client.manifest(
                errand.reference.at(errand.resolved.digest), credentials=errand.credentials
            )
        for _ in range(_DEPTH):
            if not found.is_index:
                return found
            entry = self._choose(entries_of(found.parsed), errand.kind)
            found = await self._client.manifest(errand.reference.at(entry.digest), credentials=errand.credentials)
        if found.is_index:
            raise ImageUnusable(f"its index leads to indexes, {_DEPTH} deep; push an index of images")
        return found

    def _choose(self, entries: tuple[Descriptor, ...], kind: ImageKind | None) -> Descriptor:
        if kind is None:
            with suppress(ImageUnusable):
                return choose(entries, ImageKind.BYTECODE, self._node, byte_order=self._byte_order)
        return choose(entries, kind or ImageKind.WASM, self._node, byte_order=self._byte_order)

    async def _forms(self, errand: Errand, manifest: Manifest) -> tuple[Form, ...]:
        """Tell what it may be; two forms, only where it could be either and the layer must tell."""
        parts = Parts.parse(manifest.parsed)
        config = b"{}"
        if parts.needs_config:
            config = await self._client.small_blob(
                errand.reference, parts.config, limit=self._limits.config, credentials=errand.credentials
            )
        kind = errand.kind or kind_of(manifest.parsed, config)
        if kind is not None:
            return (classify(manifest.parsed, config, wanted=kind),)
        module = classify(manifest.parsed, config, wanted=ImageKind.WASM)
        if len(parts.layers) > 1:
            return (module,)
        return (classify(manifest.parsed, config, wanted=ImageKind.BYTECODE), module)

    async def _layer(
        self, errand: Errand, layer: Descriptor, forms: tuple[Form, ...], landing: Landing, tell: Listener
    ) -> tuple[ImageRecord, Path] | None:
        with ExitStack() as stack:
            file = await in_thread(partial(stack.enter_context, self._store.incoming(layer.size)))
            try:
                await self._download(errand, layer, file, tell, direct=False)
            except ImageDamaged:  # a mirror, a cache or a proxy in between may be at fault
                await self._download(errand, layer, file, tell, direct=True)
            return await in_thread(partial(landing.take, file, forms))

    async def _download(
        self, errand: Errand, layer: Descriptor, file: Incoming, tell: Listener, *, direct: bool
    ) -> None:
        file.restart()

        async def sink(chunk: bytes) -> None:
            await in_thread(partial(file.write, chunk))
            self.fetched_bytes += len(chunk)
            tell(PullPhase.FETCH, file.size, layer.size)

        await self._client.blob(errand.reference, layer, sink, credentials=errand.credentials, direct=direct)
        file.check(layer.digest, layer.size)
