"""Compiled code on disk: its SHA-256 is compared over the very bytes that are handed to the engine.

A file is the hash of its content and the content. Only a directory that is ours alone is used, opened without
following links, and every file is opened relative to it: what another user put in the way is refused, not read.
"""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from conductor.errors import StateUnwritable
from conductor.wasm.settings import CODE_BYTES

__all__ = ["CodeCache"]

MOST_BYTES: Final = 1 << 30
_MAGIC: Final = b"code1\n"
_HASH: Final = 32


class CodeCache:
    """Own the directory. Thread-safe: files are replaced whole; losing one means compiling again."""

    def __init__(self, *, descriptor: int, most_bytes: int = MOST_BYTES) -> None:
        self._directory, self._most = descriptor, most_bytes
        self.refused = 0
        """Files that were there and not what was written."""

    @classmethod
    def opened(cls, path: Path, *, most_bytes: int = MOST_BYTES) -> Self:
        """Make the directory where it is not there, and open it. Raises `StateUnwritable` where it is not ours alone."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                path.mkdir(mode=0o700)
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as exc:
            problem = f"the cache of compiled code {path} cannot be opened ({exc.strerror})"
            raise StateUnwritable(f"{problem}; it must be a directory of the agent's user, no link") from exc
        about = os.fstat(descriptor)
        if about.st_uid != os.geteuid() or stat.S_IMODE(about.st_mode) & 0o077:
            os.close(descriptor)
            problem = f"the cache of compiled code {path} is not of mode 0700 and the agent's own"
            raise StateUnwritable(f"{problem}; remove it, or choose another --cache-dir")
        return cls(descriptor=descriptor, most_bytes=most_bytes)

    def load(self, key: str) -> bytes | None:
        """Answer compiled code; None where there is none that can be trusted."""
        name = _file_of(key)
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._directory)
        except OSError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            about = os.fstat(file.fileno())
            content = file.read(CODE_BYTES + 64) if stat.S_ISREG(about.st_mode) else b""
        head = len(_MAGIC) + _HASH
        code = content[head:]
        if content[: len(_MAGIC)] != _MAGIC or content[len(_MAGIC) : head] != _digest(key, code):
            self.refused += 1
            with suppress(OSError):
                os.unlink(name, dir_fd=self._directory)
            return None
        with suppress(OSError):
            os.utime(name, dir_fd=self._directory, follow_symlinks=False)
        return code

    def store(self, key: str, code: bytes) -> None:
        """Keep compiled code; a disk that refuses is no failure, it is compiled again next time."""
        name = _file_of(key)
        fresh = f".{name}-{os.getpid()}-{os.urandom(4).hex()}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with suppress(OSError):
            self._make_room(len(code))
            try:
                with os.fdopen(os.open(fresh, flags, 0o600, dir_fd=self._directory), "wb") as file:
                    file.write(_MAGIC + _digest(key, code) + code)
                os.rename(fresh, name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
            except OSError:
                with suppress(OSError):
                    os.unlink(fresh, dir_fd=self._directory)
                raise

    def close(self) -> None:
        """Close; a second call does nothing."""
        descriptor, self._directory = self._directory, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _make_room(self, size: int) -> None:
        """Remove what was not used for longest."""
        kept: list[tuple[float, int, str]] = []
        for name in os.listdir(self._directory):  # noqa: PTH208 - by descriptor
            with suppress(OSError):
                about = os.stat(name, dir_fd=self._directory, follow_symlinks=False)
                kept.append((about.st_mtime, about.st_size, name))
        total = size + sum(one[1] for one in kept)
        for _, bytes_, name in sorted(kept):
            if total <= self._most:
                break
            with suppress(OSError):
                os.unlink(name, dir_fd=self._directory)
            total -= bytes_


def _file_of(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _digest(key: str, code: bytes) -> bytes:
    """Hash of the code and of what it is the code of: files that change places are refused too."""
    return hashlib.sha256(len(key).to_bytes(8, "little") + key.encode() + code).digest()
