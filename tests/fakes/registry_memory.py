"""A registry in memory: manifests, tags, blobs and referrers as the distribution specification has them.

It models what signature discovery sees: digests over the very bytes, a referrers list from `subject` fields (switched
off for registries that have none, where the tag schema serves), and failures by reference. It checks no credentials.
"""

# ruff: noqa: ARG002 - it takes what the real client takes

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from conductor.errors import ConductorError, ImageDamaged, ImageNotFound, ImageTooLarge
from conductor.model.image import Credentials, Descriptor, PullProgress
from conductor.model.reference import Reference

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass(frozen=True)
class Held:
    reference: Reference
    digest: str
    media_type: str
    body: bytes

    @property
    def parsed(self) -> Mapping[str, Any]:
        return dict(json.loads(self.body))


class MemoryRegistry:
    """One registry with any number of repositories."""

    def __init__(self, *, lists_referrers: bool = True) -> None:
        self.lists_referrers = lists_referrers
        self.manifests: dict[tuple[str, str], Held] = {}
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.failing: dict[str, ConductorError] = {}
        self.asked: list[str] = []

    async def manifest(self, ref: Reference, *, credentials: Credentials | None = None) -> Held:
        self._ask(ref.wanted)
        held = self.manifests.get((ref.name, ref.wanted))
        if held is None:
            raise ImageNotFound(f"{ref} is not there")
        return held

    async def small_blob(
        self, ref: Reference, blob: Descriptor, *, limit: int, credentials: Credentials | None = None
    ) -> bytes:
        self._ask(blob.digest)
        if blob.size > limit:
            raise ImageTooLarge(f"{blob.digest} has {blob.size} bytes")
        data = self.blobs.get((ref.name, blob.digest))
        if data is None:
            raise ImageNotFound(f"{blob.digest} is not there")
        if digest_of(data) != blob.digest:
            raise ImageDamaged(f"{blob.digest} has other bytes")
        return data

    async def referrers(
        self, ref: Reference, digest: str, *, credentials: Credentials | None = None
    ) -> tuple[Descriptor, ...]:
        self._ask(f"referrers of {digest}")
        if not self.lists_referrers:
            return await self._by_tag(ref, digest)
        unique = {held.digest: held for (name, _), held in self.manifests.items() if name == ref.name}
        return tuple(
            Descriptor(
                held.media_type,
                held.digest,
                len(held.body),
                held.parsed.get("annotations", {}),
                artifact_type=held.parsed.get("artifactType", ""),
            )
            for held in unique.values()
            if held.parsed.get("subject", {}).get("digest") == digest
        )

    async def _by_tag(self, ref: Reference, digest: str) -> tuple[Descriptor, ...]:
        held = self.manifests.get((ref.name, digest.replace(":", "-")))
        listed = held.parsed["manifests"] if held else []
        return tuple(Descriptor.parse(each, "manifests") for each in listed)

    async def has_blob(self, ref: Reference, digest: str, *, credentials: Credentials | None = None) -> bool:
        return (ref.name, digest) in self.blobs

    async def push_blob(
        self, ref: Reference, data: bytes, *, credentials: Credentials | None = None, progress: Any = PullProgress
    ) -> Descriptor:
        self.blobs[ref.name, digest_of(data)] = data
        return Descriptor("application/octet-stream", digest_of(data), len(data))

    async def push_manifest(
        self, ref: Reference, body: bytes, media_type: str, *, credentials: Credentials | None = None
    ) -> str:
        held = Held(ref, digest_of(body), media_type, body)
        self.manifests[ref.name, held.digest] = held
        if ref.tag:
            self.manifests[ref.name, ref.tag] = held
        return held.digest

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if what in self.failing:
            raise self.failing[what]
