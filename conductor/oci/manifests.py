"""Manifests and indexes as a registry holds them: bytes first, words second."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from conductor.errors import ImageDamaged, ImageUnusable
from conductor.model.image import Reference
from conductor.oci.documents import json_object
from conductor.oci.media_types import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST

__all__ = [
    "ACCEPTED",
    "INDEXES",
    "Manifest",
    "digest_of",
]

ACCEPTED = (OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST)
INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})


def digest_of(body: bytes) -> str:
    """Digest as registries write it."""
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or index whose bytes are those that `digest` names."""

    reference: Reference
    digest: str
    media_type: str
    body: bytes = field(repr=False)
    parsed: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def read(cls, reference: Reference, body: bytes, *, content_type: str, told: str, most: int) -> Self:
        """Check bytes against the digest asked for and the one the registry told (`told`, may be empty).

        Raises `ImageDamaged`, `ImageTooLarge`, `ImageUnusable`.
        """
        digest = digest_of(body)
        for expected, whose in ((reference.digest, "the reference names"), (told, "the registry says it is")):
            if expected.startswith("sha256:") and expected != digest:
                raise ImageDamaged(f"{reference}: the manifest's bytes have digest {digest}, {whose} {expected}")
        parsed = json_object(body, f"{reference}: the manifest", most)
        return cls(reference, digest, _media_type(parsed, content_type, reference), body, parsed)

    @property
    def is_index(self) -> bool:
        """It lists manifests rather than layers."""
        return self.media_type in INDEXES


def _media_type(parsed: Mapping[str, Any], content_type: str, reference: Reference) -> str:
    """Decide what a document is by its own words; one that is two things at once could be read in two ways."""
    if "manifests" in parsed and ("layers" in parsed or "config" in parsed):
        raise ImageUnusable(f"{reference}: the manifest has both layers and manifests; it must be one of the two")
    header = content_type.partition(";")[0].strip().lower()
    own = parsed.get("mediaType")
    if own in ACCEPTED:
        found = str(own)
    elif header in ACCEPTED:
        found = header
    elif own is None and parsed.get("schemaVersion") == 2 and ("manifests" in parsed or "layers" in parsed):
        found = OCI_INDEX if "manifests" in parsed else OCI_MANIFEST
    else:
        shown = str(own or header or "nothing")[:100]
        raise ImageUnusable(f"{reference}: a manifest of type {shown}; OCI and Docker (schema 2) ones can be read")
    if (found in INDEXES) != ("manifests" in parsed):
        raise ImageUnusable(f"{reference}: the manifest calls itself {found} and does not look like one")
    return found
