"""The image cache on disk: files by their digest, and a record of each image that says which file it runs.

A file is whole or absent, whatever happens while it is written. What a program holds is never evicted; of the rest
the least recently used goes first. What only reads memory never waits for the disk; methods that change something, and
the first use of a file, do: call them in a thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

from conductor.errors import StoreFull
from conductor.model.image import ImageKind, ImageStatus, Reference
from conductor.oci.folder import Folder, disk_errors
from conductor.oci.holds import Holds
from conductor.oci.incoming import Incoming
from conductor.oci.ledger import Held, Ledger
from conductor.oci.records import ImageRecord, TagRecord
from conductor.oci.shelf import Shelf

__all__ = ["ImageStore", "StoreCounts"]

_GRACE: Final = 60.0
"""Seconds after a pull or use in which an image is not evicted: whoever asked for it is about to hold it."""


@dataclass(frozen=True, slots=True)
class StoreCounts:
    """What happened since the store was opened."""

    hits: int = 0
    misses: int = 0
    evictions: int = 0
    evicted_bytes: int = 0
    damaged: int = 0
    """Files that were no longer what their digest names, and records without a file; removed."""
    set_aside: int = 0
    """Records that could not be read, kept for a person to look at."""
    swept: int = 0
    """Half-written files of an earlier run, removed."""


class ImageStore:
    """Own the directory. Thread-safe."""

    def __init__(self, *, shelf: Shelf, ledger: Ledger, holds: Holds, fresh: Folder, limit: int) -> None:
        self._shelf, self._ledger, self._holds, self._fresh, self._limit = shelf, ledger, holds, fresh, limit
        self._lock = threading.RLock()
        """Guards what is in memory; never held while the disk is waited for."""
        self._disk = threading.RLock()
        """One change on disk at a time. Taken before the other."""
        self._reserved = 0
        self._landing = ""
        """The file that is there and whose record is not yet."""
        self._counts = StoreCounts()

    @classmethod
    @contextmanager
    def opened(cls, root: Path, *, bytes_limit: int, grace: float = _GRACE) -> Iterator[Self]:
        """Open or make the cache; for one process at a time. Raises `StateUnwritable`, `StoreFull`."""
        with ExitStack() as stack:
            top = stack.enter_context(Folder.opened(root.absolute(), alone=True))
            fresh = stack.enter_context(top.inner("tmp"))
            ledger = Ledger(
                images=stack.enter_context(top.inner("images")),
                tags=stack.enter_context(top.inner("tags")),
                aside=stack.enter_context(top.inner("aside")),
                fresh=fresh,
            )
            blobs = stack.enter_context(stack.enter_context(top.inner("blobs")).inner("sha256"))
            holds, shelf = Holds(grace=grace), Shelf(folder=blobs)
            store = cls(shelf=shelf, ledger=ledger, holds=holds, fresh=fresh, limit=bytes_limit)
            with disk_errors(f"the image cache {root} cannot be read"):
                store._load()
            yield store

    @property
    def counts(self) -> StoreCounts:
        """What happened since the store was opened."""
        return self._counts

    @property
    def count(self) -> int:
        """Images that are held."""
        with self._lock:
            return self._ledger.count

    @property
    def bytes_used(self) -> int:
        """Bytes of all files, and of those on their way."""
        with self._lock:
            return self._shelf.total + self._reserved

    @property
    def bytes_limit(self) -> int:
        """The most it holds."""
        return self._limit

    def images(self) -> tuple[ImageStatus, ...]:
        """List what is held, sorted by reference."""
        with self._lock:
            found = [one.status(in_use=self._holds.is_held(one.record.digest)) for one in self._ledger.held()]
        return tuple(sorted(found, key=lambda one: (one.reference, one.digest, one.kind)))

    def tagged(self, reference: Reference) -> str:
        """Digest that a reference with a tag resolved to last; empty where it was never asked."""
        with self._lock:
            return self._ledger.tagged(str(reference))

    def record(self, digest: str, kind: ImageKind | None, *, architecture: str) -> ImageRecord | None:
        """Answer what is known of an image, by the digest it resolved to; None where it is not there.

        Without a `kind` it is whichever there is.
        """
        with self._lock:
            found = [self._ledger.find(one, digest) for one in ([kind] if kind else ImageKind)]
        return next((one.record for one in found if one and one.record.architecture == architecture), None)

    def use(self, record: ImageRecord, *, holder: str = "", counts: bool = True) -> Path | None:
        """Answer the file of an image, checked once after each start; None where it is gone or damaged.

        With a `holder` it stays until that releases it. Raises `StateUnwritable` where it cannot be read.
        """
        guard = f"\0use {threading.get_ident()}"
        self.hold(record.digest, guard)
        try:
            whole = self._shelf.is_whole(record)
            if whole:
                self._used(record, holder, counts=counts)
            else:
                self._discard(record)
        finally:
            self.release(record.digest, guard)
        return self._shelf.path(record.content) if whole else None

    def located(self, content: str) -> Path | None:
        """Where a file lies, by its own digest: that is no use of it, and its bytes are not checked."""
        with self._lock:
            return self._shelf.path(content) if self._shelf.size(content) else None

    def hold(self, digest: str, holder: str) -> None:
        """Keep an image from eviction, be it there already or not yet."""
        with self._lock:
            self._holds.hold(digest, holder)

    def release(self, digest: str, holder: str) -> None:
        """Let go of an image; one that was not held is fine."""
        with self._lock:
            self._holds.release(digest, holder)

    def retain(self, digests: Collection[str]) -> None:
        """Say which images are needed, beside those that somebody holds; the ones said before are not any more."""
        with self._lock:
            self._holds.retain(digests)

    @contextmanager
    def incoming(self, most: int) -> Iterator[Incoming]:
        """Begin a file of at most `most` bytes, making room for it. Raises `StoreFull`, `StateUnwritable`."""
        with self._disk:
            self._make_room(most)
            with self._lock:
                self._reserved += most
        try:
            with Incoming.made(self._fresh, most=most, free=self._evict_one) as file:
                yield file
        finally:
            with self._lock:
                self._reserved -= most

    def keep(self, file: Incoming, record: ImageRecord, *, holder: str = "") -> Path:
        """Put a file and its record in place, and hold it at once. Raises `StoreFull`, `StateUnwritable`."""
        file.settle()
        with self._disk:
            self._landing = record.content
            try:
                self._shelf.put(file, record.content)
                self._ledger.write(record, self._evict_one)
            except BaseException:
                self._remove_unless_run(record.content)
                raise
            finally:
                self._landing = ""
            with self._lock:
                self._shelf.know(record)
                self._ledger.put(record)
                self._hold_for(record.digest, holder)
        return self._shelf.path(record.content)

    def amend(self, record: ImageRecord) -> None:
        """Write the record of an image that is held anew. Raises `StoreFull`, `StateUnwritable`."""
        with self._disk:
            held = self._ledger.find(record.kind, record.digest)
            if held is not None and held.record != record:
                self._ledger.write(record, self._evict_one)
                with self._lock:
                    self._ledger.put(record)

    def tag(self, reference: Reference, digest: str) -> None:
        """Remember what a reference resolved to. Raises `StoreFull`, `StateUnwritable`."""
        tag = TagRecord(str(reference), digest)
        with self._disk:
            if self._ledger.tagged(tag.reference) != digest:
                self._ledger.write_tag(tag, self._evict_one)
                with self._lock:
                    self._ledger.put_tag(tag)

    def prune(self) -> tuple[ImageStatus, ...]:
        """Remove every image that nobody holds; answer those. Raises `StateUnwritable`."""
        gone: list[Held] = []
        with self._disk, disk_errors("the image cache cannot be pruned"):
            while (one := self._taken(self._holds.is_held)) is not None:
                gone.append(one[0])
                self._erase(*one)
            for content in self._orphans():
                self._drop_file(content)
        return tuple(one.status(in_use=False) for one in gone)

    def missed(self) -> None:
        """Count a pull that had to go to a registry."""
        with self._lock:
            self._count(misses=1)

    def _load(self) -> None:
        for name in self._fresh.names():
            self._fresh.remove(name)
            self._count(swept=1)
        aside, lost = self._ledger.load(self._shelf.load())
        self._count(set_aside=aside, damaged=lost)

    def _used(self, record: ImageRecord, holder: str, *, counts: bool) -> None:
        with self._lock:
            self._shelf.trust(record.content)
            self._hold_for(record.digest, holder)
            if counts:
                self._count(hits=1)
        self._ledger.used(record)

    def _discard(self, record: ImageRecord) -> None:
        with self._disk, disk_errors("the image cache cannot be written"):
            with self._lock:
                held = self._ledger.find(record.kind, record.digest)
                if held is None:  # evicted since it was looked up
                    return
                self._count(damaged=1)
                references = self._ledger.take(record)
            self._erase(held, references)

    def _hold_for(self, digest: str, holder: str) -> None:
        self._holds.touch(digest)
        if holder:
            self._holds.hold(digest, holder)

    def _make_room(self, size: int) -> None:
        """Evict until there is room; nothing, where that could not be enough."""
        with self._lock:
            spared = {one.record.content for one in self._ledger.held() if self._holds.is_spared(one.record.digest)}
            kept = self._reserved + sum(map(self._shelf.size, spared))
        if kept + size > self._limit:
            raise StoreFull(
                f"the image cache {self._fresh.path.parent} has no room for {size} bytes more: of its {self._limit} bytes {kept} "
                "are held by programs or being pulled; give it more space, or unload what is not needed"
            )
        while self.bytes_used + size > self._limit and self._evict_one():
            pass

    def _evict_one(self) -> bool:
        """Remove what was not used for longest; False where nothing may go."""
        with self._disk, suppress(OSError):
            for content in self._orphans():
                self._count_eviction(self._drop_file(content))
                return True
            taken = self._taken(self._holds.is_spared)
            if taken is not None:
                self._count_eviction(self._erase(*taken))
                return True
        return False

    def _taken(self, is_spared: Callable[[str], bool]) -> tuple[Held, list[str]] | None:
        """Take the least recently used image that is not spared out of memory; nobody can begin to use it then."""
        with self._lock:
            loose = [one for one in self._ledger.held() if not is_spared(one.record.digest)]
            if not loose:
                return None
            oldest = min(loose, key=lambda one: one.used)
            self._holds.forget(oldest.record.digest)
            return oldest, self._ledger.take(oldest.record)

    def _erase(self, held: Held, references: list[str]) -> int:
        """Remove what was taken from the disk, its file unless another runs the same; answer the bytes set free."""
        self._ledger.erase(held.record, references)
        return 0 if self._is_run(held.record.content) else self._drop_file(held.record.content)

    def _orphans(self) -> list[str]:
        """Files that no image here runs: left by a crash between the two, or by another version."""
        with self._lock:
            return [one for one in self._shelf.names() if not self._is_run(one)]

    def _is_run(self, content: str) -> bool:
        with self._lock:
            return content == self._landing or self._ledger.runs(content)

    def _drop_file(self, content: str) -> int:
        self._shelf.erase(content)
        with self._lock:
            return self._shelf.forget(content)

    def _remove_unless_run(self, content: str) -> None:
        self._landing = ""
        if not self._is_run(content):
            with suppress(OSError):
                self._drop_file(content)

    def _count_eviction(self, size: int) -> None:
        with self._lock:
            self._count(evictions=1, evicted_bytes=size)

    def _count(self, **more: int) -> None:
        self._counts = replace(self._counts, **{key: getattr(self._counts, key) + n for key, n in more.items()})
