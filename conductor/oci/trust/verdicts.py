"""Verdicts kept on disk: an image that a rule was met by once need not be judged again. Refusals are never kept."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
import time
from pathlib import Path
from typing import Final

__all__ = ["Verdicts"]

MOST: Final = 4096
_LARGEST: Final = 4096
log = logging.getLogger(__name__)


class Verdicts:
    """Own one directory, a file for each digest and rule. Whoever may write there may vouch for images."""

    def __init__(self, *, root: Path | None, most: int = MOST) -> None:
        self._root, self._most = root, most
        self.hits = self.misses = self.dropped = 0

    def find(self, digest: str, fingerprint: str) -> str | None:
        """Answer who vouched, or nothing. What is damaged or not ours is not believed."""
        by = self._read(digest, fingerprint)
        if by is None:
            self.misses += 1
        else:
            self.hits += 1
        return by

    def keep(self, digest: str, fingerprint: str, by: str) -> None:
        """Remember who vouched. A disk that refuses costs the memory, never the verdict."""
        if self._root is None:
            return
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._is_ours(self._root):
                self._write(_path(self._root, digest, fingerprint), digest, fingerprint, by)
                self._bound()
        except OSError as exc:
            log.warning("a verdict was not kept in %s: %s", self._root, exc)

    def _read(self, digest: str, fingerprint: str) -> str | None:
        if self._root is None or not self._is_ours(self._root):
            return None
        path = _path(self._root, digest, fingerprint)
        try:
            said = json.loads(path.read_bytes()[:_LARGEST])
            matches = (said["digest"], said["rule"]) == (digest, fingerprint)
            by = said["by"] if matches and isinstance(said["by"], str) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if by is not None:
            self._touch(path)
        return by

    def _touch(self, path: Path) -> None:
        try:
            os.utime(path)
        except OSError as exc:
            log.debug("%s keeps its age: %s", path, exc)

    def _write(self, path: Path, digest: str, fingerprint: str, by: str) -> None:
        said = {"digest": digest, "rule": fingerprint, "by": by, "at": round(time.time())}
        fresh = path.with_suffix(f".{os.getpid()}.new")
        try:
            fresh.write_text(json.dumps(said))
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)

    def _bound(self) -> None:
        """Drop the longest unused."""
        assert self._root is not None
        kept = [entry for entry in os.scandir(self._root) if entry.name.endswith((".json", ".new"))]
        for entry in sorted(kept, key=lambda entry: entry.stat().st_mtime)[: max(0, len(kept) - self._most)]:
            Path(entry.path).unlink(missing_ok=True)
            self.dropped += 1

    def _is_ours(self, root: Path) -> bool:
        try:
            found = root.lstat()
        except OSError:
            return False
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022:
            return True
        log.warning("%s must be a directory of uid %d that nobody else may write; it is not used", root, os.geteuid())
        return False


def _path(root: Path, digest: str, fingerprint: str) -> Path:
    return root / f"{hashlib.sha256(f'{digest} {fingerprint}'.encode()).hexdigest()}.json"
