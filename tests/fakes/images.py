"""A fake of `ports.ImageSource`: registries and store as two tables of files.

It models what the Image Manager and its users rely on: tags that move, digests that do not, policies, failures that
are set from outside, pulls that wait until they are let go. It knows nothing of manifests, layers or signatures; trust
it for who pulls when, never for what an image is made of.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from conductor.errors import ConductorError, ImageNotFound, ImageUntrusted
from conductor.model.image import Credentials, ImageKind, ImageStatus, PullPhase, PullProgress, Reference
from conductor.model.kernel import PullPolicy

__all__ = ["FakeImages", "FakePulled"]


@dataclass(frozen=True)
class FakePulled:
    """What lies in the store."""

    reference: str
    digest: str
    kind: ImageKind
    content: str
    path: Path
    note: str = ""


@dataclass
class FakeImages:
    """Registries and store; `push` fills the former, `pull` moves to the latter."""

    folder: Path
    registry: dict[str, FakePulled] = field(default_factory=dict)
    store: dict[str, FakePulled] = field(default_factory=dict)
    kept: frozenset[str] = frozenset()
    fail: ConductorError | None = None
    untrusted: str = ""
    """Why the policy refuses every image."""
    gate: asyncio.Event | None = None
    asked: list[tuple[str, PullPolicy, Credentials | None]] = field(default_factory=list)

    def push(self, reference: str, content: bytes, kind: ImageKind = ImageKind.BYTECODE) -> str:
        """Put an image under a tag, which moves if it was there; answer its digest."""
        hexed = hashlib.sha256(content).hexdigest()
        digest = "sha256:" + hashlib.sha256(b"manifest of " + content).hexdigest()
        path = self.folder / f"{hexed}.file"
        path.write_bytes(content)
        ref = Reference.parse(reference)
        pulled = FakePulled(reference=str(ref), digest=digest, kind=kind, content=f"sha256:{hexed}", path=path)
        self.registry[str(ref)] = self.registry[str(ref.at(digest))] = pulled
        return digest

    async def pull(
        self,
        reference: Reference,
        kind: ImageKind | None,
        *,
        policy: PullPolicy,
        credentials: Credentials | None = None,
        pinned: str = "",
        progress: Callable[[PullProgress], None] = lambda _: None,
    ) -> FakePulled:
        del kind
        tagged = self.registry.get(str(reference))
        moved = f"tag {reference.tag} moved" if pinned and tagged and tagged.digest != pinned else ""
        reference = reference.at(pinned) if pinned else reference
        self.asked.append((str(reference), policy, credentials))
        progress(PullProgress(str(reference), PullPhase.RESOLVE))
        if self.gate is not None:
            await self.gate.wait()
        if self.untrusted:
            raise ImageUntrusted(f"{reference}: {self.untrusted}")
        here = next((p for p in self.store.values() if str(reference) in (p.reference, self._at(p))), None)
        if here is not None and (pinned or policy is not PullPolicy.ALWAYS):
            return replace(here, note=moved)
        if self.fail is not None:
            raise self.fail
        found = self.registry.get(str(reference))
        if found is None or policy is PullPolicy.NEVER:
            raise ImageNotFound(f"{reference} is not there")
        self.store[found.digest] = replace(found, reference=str(reference))
        progress(PullProgress(str(reference), PullPhase.DONE, 10, 10))
        return found

    async def resolve(self, reference: Reference, *, credentials: Credentials | None = None) -> str:
        del credentials
        found = self.registry.get(str(reference))
        if found is None:
            raise ImageNotFound(f"{reference} is not there")
        return found.digest

    async def check(self, digests: Collection[str]) -> None:
        """Everything here is whole."""

    def held(self, digest: str) -> FakePulled | None:
        return self.store.get(digest)

    def located(self, content: str) -> Path | None:
        return next((pulled.path for pulled in self.store.values() if pulled.content == content), None)

    def images(self, in_use: Collection[str]) -> tuple[ImageStatus, ...]:
        return tuple(self._status(pulled, in_use) for pulled in self.store.values())

    def counts(self) -> Mapping[str, int]:
        return {"images": len(self.store), "image_cache_misses_total": len(self.asked)}

    def keep(self, in_use: Collection[str]) -> None:
        self.kept = frozenset(in_use)

    async def prune(self, in_use: Collection[str]) -> tuple[ImageStatus, ...]:
        gone = [pulled for digest, pulled in self.store.items() if digest not in in_use]
        for pulled in gone:
            del self.store[pulled.digest]
        return tuple(self._status(pulled, in_use) for pulled in gone)

    @staticmethod
    def _at(pulled: FakePulled) -> str:
        return str(Reference.parse(pulled.reference).at(pulled.digest))

    @staticmethod
    def _status(pulled: FakePulled, in_use: Collection[str]) -> ImageStatus:
        return ImageStatus(
            reference=pulled.reference,
            digest=pulled.digest,
            kind=pulled.kind,
            content=pulled.content,
            size=pulled.path.stat().st_size,
            pulled=1.0,
            used=2.0,
            in_use=pulled.digest in in_use,
            verdict="no policy",
        )
