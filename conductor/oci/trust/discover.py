"""Gather what lies beside an image and may be a signature: referrers, the referrers tag, the `.sig` tag; all of them.

Registries and old indexes state wrong artifact types, so nothing is left out by type: each manifest's layers tell. Types
and annotations only decide what is looked at first, should somebody have heaped up more than is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from conductor.errors import (
    ConductorError,
    ImageDamaged,
    ImageNotFound,
    ImageTooLarge,
    ImageUnusable,
    InvalidSpec,
    RegistryRefused,
)
from conductor.model.image import Credentials, Descriptor
from conductor.model.reference import Reference
from conductor.oci.trust.evidence import BUNDLE_TYPE, SIMPLE_TYPE, BundleEvidence, Evidence, SimpleEvidence

__all__ = ["Found", "Gathered", "Registry", "fallback_tag", "gather", "legacy_tag"]

MOST_MANIFESTS: Final = 64
MOST_PIECES: Final = 128
LARGEST_PIECE: Final = 1 << 20
LARGEST_ALL: Final = 8 << 20
_NOTATION: Final = "application/vnd.cncf.notary.signature"
_SIGN: Final = "https://sigstore.dev/cosign/sign/v1"
_BAD: Final = (ImageDamaged, ImageTooLarge, ImageUnusable, InvalidSpec)


class Found(Protocol):
    """A manifest as the registry client answers it."""

    @property
    def digest(self) -> str:
        """Of its bytes."""

    @property
    def parsed(self) -> Mapping[str, Any]:
        """Its JSON."""


class Registry(Protocol):
    """What is needed of the registry client."""

    async def manifest(self, ref: Reference, *, credentials: Credentials | None = None) -> Found:
        """Fetch what a tag or digest names."""

    async def small_blob(
        self, ref: Reference, blob: Descriptor, *, limit: int, credentials: Credentials | None = None
    ) -> bytes:
        """Fetch a blob whose digest is checked."""

    async def referrers(
        self, ref: Reference, digest: str, *, credentials: Credentials | None = None
    ) -> tuple[Descriptor, ...]:
        """List what says it belongs to a digest."""


@dataclass(slots=True)
class Gathered:
    """Pieces to judge; `notes` on what could not be one of them; `away` where the registry failed on the way."""

    pieces: list[Evidence] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    away: ConductorError | None = None
    size: int = 0


def legacy_tag(digest: str) -> str:
    """Where cosign's older form keeps the signatures of a digest."""
    return f"{fallback_tag(digest)}.sig"


def fallback_tag(digest: str) -> str:
    """Where referrers are listed by registries that have no door for them."""
    return digest.replace(":", "-")


async def gather(
    registry: Registry, ref: Reference, digest: str, *, credentials: Credentials | None = None
) -> Gathered:
    """Look in every place; a place that fails is noted and the others are looked at all the same."""
    search = _Search(registry, ref, digest, credentials)
    await search.legacy()
    await search.referrers()
    return search.gathered


class _Search:
    """One search under way."""

    def __init__(self, registry: Registry, ref: Reference, digest: str, credentials: Credentials | None) -> None:
        self._registry, self._ref, self._digest, self._credentials = registry, ref, digest, credentials
        self.gathered = Gathered()

    async def legacy(self) -> None:
        found = await self._manifest(self._ref.tagged(legacy_tag(self._digest)))
        if found is not None:
            await self._layers(found)

    async def referrers(self) -> None:
        listed = [*await self._listed(), *await self._tagged()]
        unique = {each.digest: each for each in listed if each.digest != self._digest}
        inspected = sorted(unique.values(), key=_unlikely)
        if len(inspected) > MOST_MANIFESTS:
            self._note(f"{len(inspected)} referrers, of which {MOST_MANIFESTS} were looked at")
        for each in inspected[:MOST_MANIFESTS]:
            if each.artifact_type == _NOTATION:
                self._note("a Notation signature, which is not supported")
            elif (found := await self._manifest(self._ref.at(each.digest))) is not None:
                await self._layers(found)

    async def _listed(self) -> tuple[Descriptor, ...]:
        try:
            return await self._registry.referrers(self._ref, self._digest, credentials=self._credentials)
        except ConductorError as exc:
            self._failed(exc)
            return ()

    async def _tagged(self) -> list[Descriptor]:
        """List the referrers tag too: a registry that has learnt to list referrers may not know the older ones."""
        found = await self._manifest(self._ref.tagged(fallback_tag(self._digest)))
        return _descriptors(self._parsed(found).get("manifests"), "referrers") if found is not None else []

    async def _manifest(self, ref: Reference) -> Found | None:
        try:
            return await self._registry.manifest(ref, credentials=self._credentials)
        except ConductorError as exc:
            self._failed(exc)
            return None

    async def _layers(self, found: Found) -> None:
        parsed = self._parsed(found)
        layers = _descriptors(parsed.get("layers"), "layers")
        if any(layer.media_type == _NOTATION for layer in layers) or _config_type(parsed) == _NOTATION:
            self._note("a Notation signature, which is not supported")
        for layer in layers:
            if layer.media_type == SIMPLE_TYPE or layer.media_type.startswith(BUNDLE_TYPE):
                await self._piece(layer)

    def _parsed(self, found: Found) -> Mapping[str, Any]:
        try:
            return found.parsed
        except ConductorError as exc:
            self._failed(exc)
            return {}

    async def _piece(self, layer: Descriptor) -> None:
        room = LARGEST_ALL - self.gathered.size
        if len(self.gathered.pieces) >= MOST_PIECES or layer.size > min(LARGEST_PIECE, room):
            self._note("more or larger signatures than are looked at")
            return
        try:
            body = await self._registry.small_blob(self._ref, layer, limit=LARGEST_PIECE, credentials=self._credentials)
        except ConductorError as exc:
            self._failed(exc)
            return
        self.gathered.size += len(body)
        simple = layer.media_type == SIMPLE_TYPE
        self.gathered.pieces.append(SimpleEvidence.read(body, layer.annotations) if simple else BundleEvidence(body))

    def _failed(self, exc: ConductorError) -> None:
        match exc:
            case ImageNotFound():
                return
            case RegistryRefused():
                self._note(f"a place that the registry does not let us look at ({exc})")
            case _ if isinstance(exc, _BAD):
                self._note(f"something damaged ({exc})")
            case _:
                self.gathered.away = self.gathered.away or exc

    def _note(self, words: str) -> None:
        if words not in self.gathered.notes:
            self.gathered.notes.append(words)


def _unlikely(each: Descriptor) -> tuple[int, str]:
    """Order by how likely it is a signature."""
    predicate = each.annotations.get("dev.sigstore.bundle.predicateType")
    if predicate is not None:
        return (0 if predicate == _SIGN else 3), each.digest
    kind = each.artifact_type
    return (0 if "cosign" in kind else 1 if kind.startswith(BUNDLE_TYPE) else 2), each.digest


def _descriptors(raw: object, where: str) -> list[Descriptor]:
    """Read what can be read; a bad entry takes nothing from the others."""
    read = []
    for at, each in enumerate(raw if isinstance(raw, list) else ()):
        try:
            read.append(Descriptor.parse(each, f"{where}[{at}]"))
        except ImageUnusable:
            continue
    return read


def _config_type(parsed: Mapping[str, Any]) -> str:
    config = parsed.get("config")
    return str(config.get("mediaType", "")) if isinstance(config, Mapping) else ""
