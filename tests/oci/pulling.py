"""A registry, a client, a store and a puller, put together; images pushed into the registry as bytes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conductor.errors import ImageUntrusted
from conductor.model.image import Credentials, ImageKind, Platform, PullProgress, Reference
from conductor.model.kernel import PullPolicy
from conductor.oci.landing import PullLimits
from conductor.oci.limits import RegistryLimits
from conductor.oci.pack import Packed
from conductor.oci.puller import ImageVerifier, Pulled, Puller
from conductor.oci.store import ImageStore
from tests.fakes.registry import FakeRegistry, digest_of
from tests.oci.asking import OCI_INDEX, OCI_MANIFEST, QUICK, client_of

NODE = Platform("linux", "amd64")
IF_NOT_PRESENT, ALWAYS, NEVER = PullPolicy.IF_NOT_PRESENT, PullPolicy.ALWAYS, PullPolicy.NEVER


@dataclass
class Place:
    """One node's cache, and the registry it asks."""

    registry: FakeRegistry
    store: ImageStore
    puller: Puller
    heard: list[PullProgress] = field(default_factory=list)

    def ref(self, name: str = "team/tool:v1") -> Reference:
        return Reference.parse(f"{self.registry.address}/{name}")

    async def pull(
        self,
        name: str = "team/tool:v1",
        kind: ImageKind | None = ImageKind.WASM,
        policy: PullPolicy = IF_NOT_PRESENT,
        **more: Any,
    ) -> Pulled:
        return await self.puller.pull(self.ref(name), kind, policy=policy, progress=self.heard.append, **more)

    @property
    def blob_requests(self) -> int:
        return self.registry.count("/blobs/")["GET"]


@asynccontextmanager
async def place(
    root: Path,
    *,
    registry: FakeRegistry | None = None,
    registries: str = "",
    limits: RegistryLimits = QUICK,
    pull_limits: PullLimits | None = None,
    bytes_limit: int = 1 << 30,
    verifier: ImageVerifier | None = None,
    node: Platform = NODE,
) -> AsyncIterator[Place]:
    """Put a place together; without a registry of its own it gets one."""
    if registry is None:
        async with (
            FakeRegistry.serving() as own,
            place(
                root,
                registry=own,
                registries=registries,
                limits=limits,
                pull_limits=pull_limits,
                bytes_limit=bytes_limit,
                verifier=verifier,
                node=node,
            ) as made,
        ):
            yield made
        return
    async with client_of(registries, limits) as client:
        with ImageStore.opened(root, bytes_limit=bytes_limit, grace=0) as store:
            puller = Puller(
                client=client,
                store=store,
                verifier=verifier,
                limits=pull_limits or PullLimits(),
                node=node,
                byte_order="little",
            )
            yield Place(registry, store, puller)


def push(registry: FakeRegistry, packed: Packed, name: str = "team/tool", tag: str = "v1") -> str:
    """Put a packed image under a tag; answer the digest that the tag names now."""
    for blob in packed.blobs:
        registry.put_blob(blob)
    for manifest in packed.manifests:
        registry.put_manifest(name, manifest.digest, manifest.body, manifest.media_type)
    if packed.index is not None:
        return registry.put_manifest(name, tag, packed.index, OCI_INDEX)
    return registry.put_manifest(name, tag, packed.manifests[0].body, OCI_MANIFEST)


def push_raw(
    registry: FakeRegistry, manifest: Mapping[str, Any], *blobs: bytes, name: str = "team/tool", tag: str = "v1"
) -> str:
    """Put a manifest as other tools made it."""
    for blob in blobs:
        registry.put_blob(blob)
    return registry.put_manifest(name, tag, json.dumps(manifest).encode(), str(manifest["mediaType"]))


@dataclass
class Word:
    by: str
    audited: str = ""


@dataclass
class Distrust:
    """A verifier that trusts what it is told to, and remembers what it was asked."""

    trusted: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    audits: bool = False

    async def check(self, ref: Reference, digest: str, *, credentials: Credentials | None = None) -> Word:
        del credentials
        self.asked.append(digest)
        if self.audits:
            return Word("a rule that only audits", "nobody signed it")
        if digest not in self.trusted:
            raise ImageUntrusted(f"{ref}: nobody signed {digest}")
        return Word("key test.pub")


__all__ = [
    "ALWAYS",
    "IF_NOT_PRESENT",
    "NEVER",
    "NODE",
    "Distrust",
    "Place",
    "digest_of",
    "place",
    "push",
    "push_raw",
]
