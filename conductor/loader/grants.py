"""Pins that a real bpfman made for us, given to the agent's group: nothing of anybody else's is touched."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from conductor.bpf import pins
from conductor.bpf.info import map_info
from conductor.errors import ConductorError
from conductor.loader.bpffs import map_mode
from conductor.loader.preparation import WRITABLE_MAPS
from conductor.model.grants import Access

__all__ = ["Grants"]

log = logging.getLogger(__name__)


class Grants:
    """Give map pins to `group`, as our own loader would have made them, and let it search the folders above.

    A map's pin becomes the group's with 0640, or 0660 where reading takes away or the Load says so. A folder of the
    bpffs that only root's group may search becomes the group's, to be searched and neither listed nor written: its
    program pins could be unlinked. The Rust daemon sets its mode (6770) anew at every call, so that a bit for others
    would not last, and the right to write is taken away again at every look. A folder of another group is left to it.
    Program and link pins stay as they are.
    """

    def __init__(self, *, group: int) -> None:
        self._group = group
        self._told: set[str] = set()

    def give(self, pin_path: str, metadata: Mapping[str, str]) -> None:
        """Give the maps below one program's `map_pin_path`; what cannot be given is told once."""
        folder = Path(pin_path)
        if not pin_path or not folder.is_absolute() or not pins.is_bpffs(folder):
            return
        writable = frozenset(metadata.get(WRITABLE_MAPS, "").split(","))
        try:
            for entry in os.scandir(folder):
                self._give_map(Path(entry.path), writable)
            self._open_the_way(folder)
        except (OSError, ConductorError) as error:
            self._tell(f"the maps in {folder} cannot be given to the agent's group: {error}")

    def _give_map(self, pin: Path, writable: frozenset[str]) -> None:
        found = pin.lstat()
        if not stat.S_ISREG(found.st_mode):
            return
        with pins.open_map_fd(pin, Access.READ) as opened:
            mode = map_mode(map_info(opened.fileno()).type, pin.name, writable)
        if (found.st_gid, stat.S_IMODE(found.st_mode)) != (self._group, mode):
            pin.chmod(mode)
            os.chown(pin, -1, self._group, follow_symlinks=False)

    def _open_the_way(self, folder: Path) -> None:
        for step in (folder, *folder.parents):
            found = step.stat()
            if found.st_mode & stat.S_IXOTH:
                continue
            if found.st_mode & stat.S_IXGRP and found.st_gid == self._group:
                if self._group and pins.is_bpffs(step) and found.st_mode & (stat.S_IRGRP | stat.S_IWGRP):
                    step.chmod(_searchable(found))
                continue
            if not pins.is_bpffs(step):
                self._tell(f"the agent's group cannot search {step}, on the way to its maps: chmod o+x {step}")
            elif found.st_gid != 0:
                self._tell(f"{step} is for group {found.st_gid} alone: start the agent with --groups {found.st_gid}")
            else:
                step.chmod(_searchable(found))
                os.chown(step, -1, self._group)
                log.info("%s may be searched by the agent's group now, on the way to its maps", step)

    def _tell(self, sentence: str) -> None:
        if sentence not in self._told and len(self._told) < 1000:
            self._told.add(sentence)
            log.warning("%s", sentence)


def _searchable(folder: os.stat_result) -> int:
    """Mode by which the group may go through, and no more."""
    return stat.S_IMODE(folder.st_mode) & ~stat.S_IRWXG | stat.S_IXGRP
