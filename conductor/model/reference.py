"""References of images: where a registry keeps one, and under which tag or digest."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Self

from typing_extensions import override

from conductor.errors import InvalidSpec

__all__ = ["Reference"]

DOCKER = "docker.io"
_HUB_NAMES = {"index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"}
_LONGEST = 1024
_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]{{2,45}}\])(?::[0-9]{{1,5}})?")
_PART = re.compile(r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """Where an image is kept. A digest, where there is one, decides; the tag beside it is for people."""

    registry: str
    """Host, with its port where one was written."""
    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str, field: str = "image.url") -> Self:
        """Parse what people write: `nginx`, `ghcr.io/a/b:v1`, `registry.example:5000/a@sha256:…`.

        No registry is docker.io, one word there lies under `library/`, neither tag nor digest is `latest`.
        Raises `InvalidSpec`.
        """
        if "://" in text[:16]:
            raise InvalidSpec(field, f"{_shown(text)} has a scheme; write it without, such as ghcr.io/owner/image:v1")
        if not text or len(text) > _LONGEST:
            raise InvalidSpec(field, "must be an image reference, such as registry.example/repository:tag")
        name, at, digest = text.partition("@")
        head, slash, rest = name.partition("/")
        if slash and (head == "localhost" or any(mark in head for mark in ".:[") or head != head.lower()):
            registry, path = head.lower(), rest
        else:
            registry, path = DOCKER, name
        repository, colon, tag = path.partition(":")
        if registry in _HUB_NAMES:
            registry = DOCKER
        if registry == DOCKER and "/" not in repository:
            repository = f"library/{repository}"
        _check(text, registry, repository, field)
        if colon and not _TAG.fullmatch(tag):
            raise InvalidSpec(field, f"{_shown(text)}: {_shown(tag)} is no tag: letters, digits, _ . - (at most 128)")
        if at and not _DIGEST.fullmatch(digest):
            raise InvalidSpec(field, f"{_shown(text)}: {_shown(digest)} is not sha256: and 64 hex digits")
        return cls(registry, repository, tag if tag or digest else "latest", digest)

    @property
    def name(self) -> str:
        """Registry and repository: what policies and mirrors are matched by."""
        return f"{self.registry}/{self.repository}"

    @property
    def wanted(self) -> str:
        """What a registry is asked for: the digest, else the tag."""
        return self.digest or self.tag

    def at(self, digest: str) -> Self:
        """Name what lies at a digest in the same repository; the tag is left out."""
        return replace(self, tag="", digest=digest)

    def tagged(self, tag: str) -> Self:
        """Name a tag in the same repository; the digest is left out."""
        return replace(self, tag=tag, digest="")

    @override
    def __str__(self) -> str:
        """Print the canonical form, which `parse` reads back."""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


def _check(text: str, registry: str, repository: str, field: str) -> None:
    if not _HOST.fullmatch(registry) or int(registry.rpartition("]")[2].partition(":")[2] or 1) not in range(1, 65536):
        raise InvalidSpec(field, f"{_shown(text)}: {_shown(registry)} is no host, or its port is none")
    if len(repository) > 255 or not all(_PART.fullmatch(part) for part in repository.split("/")):
        raise InvalidSpec(
            field, f"{_shown(text)}: {_shown(repository)} is no repository: lower-case letters, digits, - _ . and /"
        )


def _shown(text: str) -> str:
    return repr(text if len(text) <= 100 else f"{text[:100]}…")
