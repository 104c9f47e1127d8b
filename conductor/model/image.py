"""Words of images: where they are kept, what a registry says of them, what we hold of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from typing_extensions import override

from conductor.errors import ImageUnusable
from conductor.model.reference import Reference

__all__ = [
    "Credentials",
    "Descriptor",
    "ImageKind",
    "ImageStatus",
    "Platform",
    "PullPhase",
    "PullProgress",
    "Reference",
    "annotations_of",
]

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MOST_ANNOTATIONS, _LONGEST_WORD, _LARGEST = 256, 256, 1 << 50


class ImageKind(StrEnum):
    """What an image is pulled for."""

    WASM = "Wasm"
    BYTECODE = "Bytecode"


class PullPhase(StrEnum):
    """Where a pull stands."""

    RESOLVE = "resolve"
    VERIFY = "verify"
    FETCH = "fetch"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Platform:
    """What a manifest of an index is for, in Go's words: linux/arm64/v8, wasip1/wasm."""

    os: str
    architecture: str
    variant: str = ""

    @override
    def __str__(self) -> str:
        """Print it as `--platform` takes it."""
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a manifest or index says of one blob or manifest."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str = ""
    platform: Platform | None = None

    @classmethod
    def parse(cls, raw: object, where: str) -> Self:
        """Check a descriptor out of JSON; `where` begins the refusal. Raises `ImageUnusable`."""
        if not isinstance(raw, Mapping):
            raise ImageUnusable(f"{where} is no descriptor: a JSON object with mediaType, digest and size was expected")
        digest, size = raw.get("digest"), raw.get("size")
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise ImageUnusable(f"{where} has no digest of the form sha256:… (64 hex digits), the only one accepted")
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _LARGEST:
            raise ImageUnusable(f"{where} ({digest}) has no size in bytes")
        return cls(
            media_type=_word(raw, "mediaType", where),
            digest=digest,
            size=size,
            annotations=annotations_of(raw, where),
            artifact_type=_word(raw, "artifactType", where),
            platform=_platform(raw.get("platform"), f"{where}.platform"),
        )

    def printed(self) -> dict[str, Any]:
        """Print it as JSON has it; what is empty is left out."""
        told: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.artifact_type:
            told["artifactType"] = self.artifact_type
        if self.annotations:
            told["annotations"] = dict(self.annotations)
        if self.platform:
            words = {"architecture": self.platform.architecture, "os": self.platform.os}
            told["platform"] = words | ({"variant": self.platform.variant} if self.platform.variant else {})
        return told


def annotations_of(raw: Mapping[str, Any], where: str) -> dict[str, str]:
    """Read `annotations` of a manifest, index or descriptor. Raises `ImageUnusable`."""
    found = raw.get("annotations") or {}
    if not isinstance(found, Mapping) or len(found) > _MOST_ANNOTATIONS:
        raise ImageUnusable(f"{where}: annotations must be an object of at most {_MOST_ANNOTATIONS} texts")
    if not all(isinstance(value, str) for value in found.values()):
        raise ImageUnusable(f"{where}: every annotation must be a text")
    return {str(key): value for key, value in found.items()}


def _word(raw: Mapping[str, Any], key: str, where: str) -> str:
    value = raw.get(key) or ""
    if not isinstance(value, str) or len(value) > _LONGEST_WORD:
        raise ImageUnusable(f"{where}: {key} must be a text of at most {_LONGEST_WORD} characters")
    return value


def _platform(raw: object, where: str) -> Platform | None:
    if raw is None:
        return None
    if not isinstance(raw, Mapping):
        raise ImageUnusable(f"{where} must be an object with os and architecture")
    return Platform(_word(raw, "os", where), _word(raw, "architecture", where), _word(raw, "variant", where))


@dataclass(frozen=True, slots=True)
class Credentials:
    """A name and its secret for one registry; kept in memory only, shown by nobody."""

    username: str
    password: str = field(repr=False)

    @property
    def is_identity_token(self) -> bool:
        """The secret is a refresh token that only a token server takes (docker's convention for the name)."""
        return self.username == "<token>"


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How far a pull is; `done` and `total` in bytes, a total of 0 is not known yet."""

    reference: str
    phase: PullPhase
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageStatus:
    """One image that this node holds."""

    reference: str
    digest: str
    """Of the manifest that the reference resolved to."""
    kind: ImageKind
    content: str
    """Digest of the file that runs."""
    size: int
    """Bytes of that file."""
    pulled: float
    used: float
    """Unix time, as `pulled`."""
    in_use: bool
    verdict: str
    """Who vouches for it, or that no policy asks."""
