"""Which images the cache holds and what tags resolved to: records on disk, and the same in memory."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar

from conductor.model.image import ImageKind, ImageStatus
from conductor.oci.folder import Folder
from conductor.oci.incoming import Incoming
from conductor.oci.records import RECORD_BYTES, ImageRecord, TagRecord
from conductor.oci.shelf import hex_of

__all__ = ["Held", "Ledger"]

_ASIDE_MOST: Final = 16
_USED_SECONDS: Final = 60.0
"""How old the note on disk may be of when an image was used."""
_Record = TypeVar("_Record", ImageRecord, TagRecord)


@dataclass(slots=True)
class Held:
    """One image, and when it was used last (Unix time)."""

    record: ImageRecord
    used: float

    def status(self, *, in_use: bool) -> ImageStatus:
        """Print it for those who ask."""
        record = self.record
        return ImageStatus(
            reference=record.reference,
            digest=record.digest,
            kind=record.kind,
            content=record.content,
            size=record.size,
            pulled=record.pulled,
            used=self.used,
            in_use=in_use,
            verdict=record.verdict,
        )


class Ledger:
    """Own the records. The store guards it: `put`, `take` and what reads by its lock, what touches the disk by another.

    Methods that write raise as `Incoming` does.
    """

    def __init__(self, *, images: Folder, tags: Folder, aside: Folder, fresh: Folder) -> None:
        self._images, self._tag_files, self._aside, self._fresh = images, tags, aside, fresh
        self._held: dict[tuple[ImageKind, str], Held] = {}
        self._tags: dict[str, str] = {}

    def load(self, sizes: Mapping[str, int]) -> tuple[int, int]:
        """Read what is there; answer how many records were put aside and how many had lost their file."""
        aside: list[str] = []
        lost = 0
        for name, image in self._readable(self._images, ImageRecord.parse, aside):
            if sizes.get(image.content) == image.size and name == _image_file(image):
                self._held[image.kind, image.digest] = Held(image, self._images.about(name).st_mtime)
            else:
                self._images.remove(name)
                lost += 1
        self._tags = {tag.reference: tag.digest for _, tag in self._readable(self._tag_files, TagRecord.parse, aside)}
        return len(aside), lost

    @property
    def count(self) -> int:
        """Images that are held."""
        return len(self._held)

    def held(self) -> tuple[Held, ...]:
        """List all images."""
        return tuple(self._held.values())

    def find(self, kind: ImageKind, digest: str) -> Held | None:
        """Answer one image; None where it is not held."""
        return self._held.get((kind, digest))

    def tagged(self, reference: str) -> str:
        """Answer what a tag resolved to last; empty where it was never asked."""
        return self._tags.get(reference, "")

    def runs(self, content: str) -> bool:
        """Tell whether some image runs this file."""
        return any(one.record.content == content for one in self._held.values())

    def put(self, record: ImageRecord) -> None:
        """Know of an image."""
        self._held[record.kind, record.digest] = Held(record, time.time())

    def put_tag(self, tag: TagRecord) -> None:
        """Know what a tag resolved to."""
        self._tags[tag.reference] = tag.digest

    def take(self, record: ImageRecord) -> list[str]:
        """Know of an image no more; answer the tags that led to it, for `erase`."""
        self._held.pop((record.kind, record.digest), None)
        references = [name for name, digest in self._tags.items() if digest == record.digest]
        for reference in references:
            del self._tags[reference]
        return references

    def write(self, record: ImageRecord, free: Callable[[], bool]) -> None:
        """Write an image down, durably."""
        self._write(self._images, _image_file(record), record.text(), free)

    def write_tag(self, tag: TagRecord, free: Callable[[], bool]) -> None:
        """Write down what a tag resolved to, durably."""
        self._write(self._tag_files, _tag_file(tag.reference), tag.text(), free)

    def erase(self, record: ImageRecord, references: Iterable[str]) -> None:
        """Remove an image's record from the disk, and those of its tags. Raises `OSError`."""
        self._images.remove(_image_file(record))
        for reference in references:
            self._tag_files.remove(_tag_file(reference))

    def used(self, record: ImageRecord) -> None:
        """Note that an image was used now; now and then on disk, where a refusal is no failure."""
        held = self.find(record.kind, record.digest)
        now = time.time()
        if held is None or abs(now - held.used) >= _USED_SECONDS:
            with suppress(OSError):
                self._images.touch(_image_file(record))
        if held is not None:
            held.used = now

    def _readable(
        self, folder: Folder, parse: Callable[[bytes], _Record | None], aside: list[str]
    ) -> Iterator[tuple[str, _Record]]:
        """Records of a folder; torn ones are put aside, those of later versions left alone."""
        for name in folder.names():
            try:
                found = parse(folder.read(name, RECORD_BYTES))
            except (ValueError, OSError):
                self._put_aside(folder, name)
                aside.append(name)
            else:
                if found is not None:
                    yield name, found

    def _put_aside(self, folder: Folder, name: str) -> None:
        kept = self._aside.names()
        for old in kept[: max(0, len(kept) + 1 - _ASIDE_MOST)]:
            self._aside.remove(old)
        folder.move(name, self._aside, f"{time.time_ns():020d}-{name}")

    def _write(self, folder: Folder, name: str, text: bytes, free: Callable[[], bool]) -> None:
        with Incoming.made(self._fresh, most=len(text), free=free) as file:
            file.write(text)
            file.settle()
            file.keep(folder, name)


def _image_file(record: ImageRecord) -> str:
    return f"{hex_of(record.digest)}.{record.kind.lower()}.json"


def _tag_file(reference: str) -> str:
    return f"{hashlib.sha256(reference.encode()).hexdigest()}.json"
