"""Manifest files on disk as a source of wishes: what `--apply` names is kept applied, edits included."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from conductor.api.documents import MAX_TEXT
from conductor.api.manifests import specs_of
from conductor.api.parts import SourceHolder
from conductor.errors import ConductorError, InvalidSpec
from conductor.model.program import ProgramSpec, Source

__all__ = ["ManifestFiles"]

LOOK_SECONDS = 2.0

log = logging.getLogger(__name__)
Stamp = tuple[tuple[int, int, int], ...]


class ManifestFiles:
    """Keep the wishes of the file source equal to the named files; a bad file changes nothing until it is mended."""

    def __init__(self, *, paths: Sequence[Path], programs: SourceHolder) -> None:
        self._paths, self._programs = tuple(paths), programs
        self._seen: Stamp | None = None
        self.problem = ""
        """Why the files as they are now are not applied; empty when they are."""

    async def run(self) -> None:
        """Look every two seconds, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Apply the files if they changed since they were last looked at."""
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            await self._programs.set_source(Source.FILE, await asyncio.to_thread(self._read))
        except ConductorError as error:
            self.problem = f"manifest files are not applied as they are: {error}"
            log.warning("%s", self.problem)
            if error.retry:
                self._seen = None
        else:
            self.problem = ""

    def _read(self) -> tuple[ProgramSpec, ...]:
        specs: list[ProgramSpec] = []
        for path in self._paths:
            try:
                text = _text(path)
            except (OSError, UnicodeDecodeError) as error:
                raise InvalidSpec(str(path), f"cannot be read ({error}); mend it or leave it out of --apply") from error
            if len(text) > MAX_TEXT:
                raise InvalidSpec(str(path), f"is past {MAX_TEXT} bytes; split it")
            try:
                specs.extend(specs_of(text))
            except InvalidSpec as error:
                raise InvalidSpec(f"{path}: {error.field}", error.problem) from error
        return tuple(specs)

    def _stamp(self) -> Stamp:
        def of(path: Path) -> tuple[int, int, int]:
            try:
                found = path.stat()
            except OSError:
                return (0, 0, 0)
            return (found.st_ino, found.st_mtime_ns, found.st_size)

        return tuple(of(path) for path in self._paths)


def _text(path: Path) -> str:
    """Read a file, no more of it than could be taken; one that is no regular file could make us wait for ever."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), encoding="utf-8") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return file.read(MAX_TEXT + 1)
