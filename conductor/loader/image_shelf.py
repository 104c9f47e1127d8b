"""Objects of images that the loader pulled, kept by the digest of the file. Blocking: to be used in a thread."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from conductor.loader.directory import OwnDirectory
from conductor.model.reference import Reference

__all__ = ["ImageRecord", "ImageShelf"]

log = logging.getLogger(__name__)
MOST: Final = 256
_OBJECT, _RECORD = ".o", ".json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """What a reference stood for when it was pulled."""

    reference: str
    digest: str
    """Of the manifest."""
    content: str
    """SHA-256 of the object, in hex."""
    policy: str
    """Mark of the image policy that let it in."""


class ImageShelf:
    """Own the folder: `<content>.o`, and `<hash of the reference>.json` for each reference. Bounded, oldest first."""

    def __init__(self, *, directory: OwnDirectory, most: int = MOST) -> None:
        self._directory, self._most = directory, most
        self._names = {self._path(record.content): record.reference for record in self._records()}

    def name_of(self, path: str) -> str:
        """Reference of the image that a file here came from; empty for any other file."""
        return self._names.get(path, "")

    def find(self, reference: Reference, policy: str) -> Path | None:
        """Answer the object of a reference, if it is whole and was let in by this very policy."""
        record = self._read(_name(reference))
        if record is None or record.policy != policy:
            return None
        kept = self._directory.read(f"{record.content}{_OBJECT}") or b""
        return Path(self._path(record.content)) if hashlib.sha256(kept).hexdigest() == record.content else None

    def keep(self, reference: Reference, data: bytes, *, digest: str, policy: str) -> Path:
        """Keep an object under its reference. Raises `StateUnwritable`."""
        content = hashlib.sha256(data).hexdigest()
        self._directory.write(f"{content}{_OBJECT}", data)
        record = ImageRecord(reference=str(reference), digest=digest, content=content, policy=policy)
        self._directory.write(_name(reference), json.dumps(asdict(record)).encode())
        self._trim()
        self._names = {self._path(one.content): one.reference for one in self._records()}
        return Path(self._path(content))

    def _trim(self) -> None:
        """Forget the references that were pulled longest ago, then objects that none names."""
        names = [name for name in self._directory.names() if name.endswith(_RECORD)]
        names.sort(key=lambda name: self._directory.reach(name).stat().st_mtime)
        for name in names[: max(0, len(names) - self._most)]:
            self._directory.remove(name)
            log.info("more than %d images are kept: %s is forgotten", self._most, name)
        named = {f"{record.content}{_OBJECT}" for record in self._records()}
        for name in self._directory.names():
            if name.endswith(_OBJECT) and name not in named:
                self._directory.remove(name)

    def _records(self) -> Iterator[ImageRecord]:
        for name in self._directory.names():
            if name.endswith(_RECORD) and (record := self._read(name)) is not None:
                yield record

    def _read(self, name: str) -> ImageRecord | None:
        """Read a record; what another version wrote, or nobody could, is none."""
        with suppress(OSError, ValueError, TypeError):
            return ImageRecord(**json.loads(self._directory.read(name) or b""))
        return None

    def _path(self, content: str) -> str:
        return str(self._directory.path / f"{content}{_OBJECT}")


def _name(reference: Reference) -> str:
    return f"{hashlib.sha256(str(reference).encode()).hexdigest()}{_RECORD}"
