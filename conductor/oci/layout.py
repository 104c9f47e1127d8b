"""Images that were built on this machine and are not pushed yet: an OCI image layout, as other tools read it.

image-spec 1.1, image-layout.md: `blobs/sha256/HEX`, `index.json` whose entries carry their reference as the annotation
`org.opencontainers.image.ref.name`, and `oci-layout`. `skopeo copy oci:DIR:REF …` takes it from there.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from conductor.errors import ImageNotFound, ImageUnusable, StateUnwritable
from conductor.model.image import Descriptor, Reference
from conductor.oci.manifests import digest_of
from conductor.oci.media_types import OCI_INDEX, OCI_MANIFEST
from conductor.oci.pack import Packed

__all__ = ["ImageLayout", "LaidOut"]

_REF: Final = "org.opencontainers.image.ref.name"
_MARK: Final = b'{"imageLayoutVersion":"1.0.0"}'
_LARGEST: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class LaidOut:
    """One image of a layout, in the order in which it is pushed: blobs, then manifests, then what the tag names."""

    blobs: tuple[tuple[Descriptor, Path], ...]
    manifests: tuple[tuple[Descriptor, bytes], ...]
    """The last one is what the tag is to name."""

    @property
    def digest(self) -> str:
        """What the tag is to name."""
        return self.manifests[-1][0].digest


class ImageLayout:
    """Own one layout directory. A reference that is built again replaces what it named."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, ref: Reference, packed: Packed) -> Path:
        """Write an image under its reference; answer the directory. Raises `StateUnwritable`."""
        try:
            (self._root / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
            for blob in (*packed.blobs, *(one.body for one in packed.manifests)):
                self._write(self._path(digest_of(blob)), blob)
            top, media_type = packed.manifests[-1].body, OCI_MANIFEST
            if packed.index is not None:
                top, media_type = packed.index, OCI_INDEX
                self._write(self._path(digest_of(top)), top)
            self._write(self._root / "oci-layout", _MARK)
            with self._locked():
                self._name(ref, Descriptor(media_type, digest_of(top), len(top)))
        except OSError as exc:
            raise StateUnwritable(f"{self._root} cannot be written: {exc.strerror}") from exc
        return self._root

    def find(self, ref: Reference) -> LaidOut:
        """Read an image by the reference it was built under. Raises `ImageNotFound`, `ImageUnusable`."""
        named = next((one for one in self._entries() if one.annotations.get(_REF) == str(ref)), None)
        if named is None:
            raise ImageNotFound(f"{ref} was not built on this machine: conductor image build wasm|bytecode … {ref}")
        top = replace(named, annotations={})
        body = self._read(top)
        manifests, blobs = list[tuple[Descriptor, bytes]](), dict[str, tuple[Descriptor, Path]]()
        for one in _parts(body, "manifests") if top.media_type == OCI_INDEX else [top]:
            manifest = self._read(one)
            manifests.append((one, manifest))
            for blob in (*_parts(manifest, "layers"), Descriptor.parse(json.loads(manifest)["config"], "config")):
                blobs[blob.digest] = (blob, self._path(blob.digest))
        if top.media_type == OCI_INDEX:
            manifests.append((top, body))
        return LaidOut(tuple(blobs.values()), tuple(manifests))

    def _entries(self) -> list[Descriptor]:
        try:
            raw: dict[str, Any] = json.loads((self._root / "index.json").read_bytes())
            return [Descriptor.parse(entry, "manifests") for entry in raw["manifests"]]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, LookupError, TypeError) as exc:
            raise ImageUnusable(f"{self._root / 'index.json'} is no index of images: {exc}; remove it") from exc

    def _name(self, ref: Reference, top: Descriptor) -> None:
        others = [entry for entry in self._entries() if entry.annotations.get(_REF) != str(ref)]
        named = replace(top, annotations={_REF: str(ref)})
        entries = [entry.printed() for entry in (*others, named)]
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
        self._write(self._root / "index.json", json.dumps(index).encode(), anew=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Two builds at once must not lose one's entry."""
        with (self._root / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _read(self, one: Descriptor) -> bytes:
        try:
            body = self._path(one.digest).read_bytes()
        except OSError as exc:
            raise ImageUnusable(f"{self._root} lacks {one.digest}: build the image again") from exc
        if len(body) > _LARGEST or digest_of(body) != one.digest:
            raise ImageUnusable(f"{self._path(one.digest)} is not what its name says: build the image again")
        return body

    def _path(self, digest: str) -> Path:
        return self._root / "blobs" / "sha256" / digest.removeprefix("sha256:")

    @staticmethod
    def _write(path: Path, content: bytes, *, anew: bool = False) -> None:
        if path.exists() and not anew:
            return
        descriptor, name = tempfile.mkstemp(prefix=".new-", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).chmod(0o644)
        Path(name).replace(path)


def _parts(body: bytes, key: str) -> list[Descriptor]:
    return [Descriptor.parse(one, key) for one in json.loads(body)[key]]
