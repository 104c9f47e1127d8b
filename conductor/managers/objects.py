"""Object files by digest: what was uploaded, and copies of what was loaded from a path."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import stat
import tempfile
import time
from collections.abc import AsyncIterable, Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Self

from conductor.builtin import object_path
from conductor.errors import BudgetExceeded, InvalidSpec, NotFound, ObjectUnreadable
from conductor.managers.durable import make_directory, sync_directory, unwritable
from conductor.model.kernel import BuiltinObject, Bytecode, ImageObject, PathObject

__all__ = ["ObjectStore"]

OBJECT_BYTES = 64 << 20
STORE_BYTES = 1 << 30
GRACE_SECONDS = 3600.0
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_CHUNK = 1 << 20


class ObjectStore:
    """Own `objects/`: every file there is named by the sha256 of its bytes, so a spec that names one stays true."""

    def __init__(
        self,
        *,
        root: Path,
        builtin_path: Callable[[str], Path] = object_path,
        object_bytes: int = OBJECT_BYTES,
        store_bytes: int = STORE_BYTES,
    ) -> None:
        self._root = root
        self._builtin_path = builtin_path
        self._object_bytes, self._store_bytes = object_bytes, store_bytes
        self._builtin_digests: dict[Path, tuple[float, str]] = {}

    def prepare(self) -> None:
        """Make the directory; the daemon must be able to enter it. Drop what an earlier run left half-written."""
        make_directory(self._root, 0o755)
        for left in self._root.glob(".new-*"):
            with suppress(OSError):
                left.unlink()

    def path_of(self, bytecode: Bytecode) -> tuple[str, str]:
        """Answer path and digest of an object for the daemon. Raises `ObjectUnreadable`, `NotFound`."""
        match bytecode:
            case BuiltinObject(name=name):
                path = self._builtin_path(name)
                return str(path), self._builtin_digest(path)
            case PathObject(digest=digest) if digest:
                return str(self._kept(digest)), digest
            case PathObject(path=path):
                digest = self._copy(Path(path))
                return str(self._kept(digest)), digest
            case ImageObject(url=url):
                raise ObjectUnreadable(f"image {url} is no file of this store")

    async def pin(self, bytecode: PathObject) -> PathObject:
        """Copy a file into the store and answer it with its digest; one that has a digest must be there already.

        Raises `ObjectUnreadable`, `NotFound`, `BudgetExceeded`, `StateUnwritable`.
        """
        if bytecode.digest:
            self._kept(bytecode.digest)
            return bytecode
        digest = await asyncio.to_thread(self._copy, Path(bytecode.path))
        return PathObject(path=bytecode.path, digest=digest)

    async def keep(self, chunks: AsyncIterable[bytes]) -> str:
        """Store uploaded bytes, answer their digest. Raises `BudgetExceeded`, `StateUnwritable`."""
        with unwritable(f"write below {self._root}"), _Incoming(self._root) as incoming:
            async for chunk in chunks:
                self._check_size(incoming.size + len(chunk), "upload")
                await asyncio.to_thread(incoming.write, chunk)
            return await asyncio.to_thread(self._settle, incoming)

    def collect(self, in_use: Collection[str]) -> tuple[str, ...]:
        """Remove objects that nobody names and that are older than the grace of an upload; answer their digests."""
        now, gone = time.time(), list[str]()
        for path in self._root.glob("sha256-*"):
            digest = path.name.replace("-", ":", 1)
            with suppress(OSError):
                if digest not in in_use and now - path.stat().st_mtime > GRACE_SECONDS:
                    path.unlink()
                    gone.append(digest)
        return tuple(gone)

    def _kept(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise InvalidSpec("digest", f"{digest[:80]!r} is not sha256: and 64 hex digits")
        path = self._root / digest.replace(":", "-")
        if not path.is_file():
            raise NotFound(f"object {digest} is not kept here: upload it again, or load it from its file")
        return path

    def _copy(self, source: Path) -> str:
        if not source.is_absolute():
            raise ObjectUnreadable(f"{str(source)!r} is not an absolute path; the agent runs in another directory")
        with _regular_file(source) as file, unwritable(f"write below {self._root}"), _Incoming(self._root) as incoming:
            while chunk := file.read(_CHUNK):
                self._check_size(incoming.size + len(chunk), str(source))
                incoming.write(chunk)
            return self._settle(incoming)

    def _check_size(self, size: int, what: str) -> None:
        if size > self._object_bytes:
            raise BudgetExceeded(f"{what} is larger than {self._object_bytes >> 20} MiB, the most an object may be")

    def _settle(self, incoming: _Incoming) -> str:
        digest = incoming.digest
        target = self._root / digest.replace(":", "-")
        if target.is_file():
            with suppress(OSError):
                os.utime(target)
            return digest
        if self._total() + incoming.size > self._store_bytes:
            raise BudgetExceeded(f"the object store holds {self._store_bytes >> 20} MiB already; unload what is unused")
        incoming.become(target)
        return digest

    def _total(self) -> int:
        return sum(path.stat().st_size for path in self._root.glob("sha256-*"))

    def _builtin_digest(self, path: Path) -> str:
        try:
            changed = path.stat().st_mtime
            known = self._builtin_digests.get(path)
            if known is None or known[0] != changed:
                known = (changed, f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}")
                self._builtin_digests[path] = known
        except OSError as exc:
            raise ObjectUnreadable(f"{path}: {exc.strerror}; the package is incomplete: install it again") from exc
        return known[1]


class _Incoming:
    """A file that is being received; gone again unless it became something."""

    def __init__(self, root: Path) -> None:
        descriptor, name = tempfile.mkstemp(prefix=".new-", dir=root)
        self._file = os.fdopen(descriptor, "wb")
        self._path = Path(name)
        self._hash = hashlib.sha256()
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._path.unlink()

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    def write(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._hash.update(chunk)
        self.size += len(chunk)

    def become(self, target: Path) -> None:
        self._file.flush()
        os.fchmod(self._file.fileno(), 0o644)
        os.fsync(self._file.fileno())
        self._path.rename(target)
        sync_directory(target.parent)


@contextmanager
def _regular_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file to copy; not a device, nor a pipe that would never end."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ObjectUnreadable(f"{path} is not a regular file")
            yield file
    except OSError as exc:
        raise ObjectUnreadable(f"{path}: {exc.strerror or exc} (the agent reads it as its own user)") from exc
