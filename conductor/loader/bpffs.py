"""Our part of a bpffs: where pins lie, and who may reach them."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

from conductor.bpf import pins
from conductor.errors import KernelRefused
from conductor.model.grants import MapType
from conductor.model.ids import LinkId, ProgramId

__all__ = ["BpfFs", "is_passed_on", "map_mode"]

log = logging.getLogger(__name__)
_DIRECTORY = 0o750
_KINDS = ("links", "programs", "maps", "shared")
_TAKEN_BY_READING = frozenset({MapType.RINGBUF, MapType.QUEUE, MapType.STACK})


def map_mode(type_: MapType, name: str, writable: Collection[str]) -> int:
    """Mode of a map's pin: group may read; write too where reading takes away, or where the Load says so."""
    return 0o660 if type_ in _TAKEN_BY_READING or name in writable else 0o640


class BpfFs:
    """A mounted bpffs with our directories in it; having one proves that pinning can work.

    Paths are relative: `programs/<id>`, `links/<id>`, `maps/<program id>/<name>`, `shared/<name>` (maps that ask to
    be pinned by name). Directories are 0750 and pins 0600, with the group of the agent where it is to read.
    """

    def __init__(self, root: Path, group: int) -> None:
        self._root, self._group = root, group

    @classmethod
    def mounted(cls, root: Path, group: int) -> Self:
        """Mount it unless it is there, and make the directories. Raises `KernelRefused`, `NotAllowed`."""
        self = cls(root, group)
        try:
            root.mkdir(mode=0o755, parents=True, exist_ok=True)
            if not pins.is_bpffs(root):
                pins.mount_bpffs(root, mode=_DIRECTORY, gid=group)
                _warn_if_private(root)
            for name in _KINDS:
                self._make_directory(root / name)
        except OSError as error:
            raise KernelRefused(f"{error.filename or root} cannot be made for pins: {error.strerror}") from error
        return self

    @property
    def root(self) -> Path:
        """Where it is mounted."""
        return self._root

    def program(self, id_: ProgramId) -> Path:
        """Pin of a program."""
        return self._root / f"programs/{id_}"

    def link(self, id_: LinkId) -> Path:
        """Pin of a link."""
        return self._root / f"links/{id_}"

    def maps(self, id_: ProgramId) -> Path:
        """Directory of a program's maps."""
        return self._root / f"maps/{id_}"

    def shared(self, name: str) -> Path:
        """Pin of a map that is shared by its name."""
        return self._root / f"shared/{name}"

    def make_maps(self, id_: ProgramId) -> None:
        """Make the directory of a program's maps. Raises `KernelRefused`."""
        try:
            self._make_directory(self.maps(id_))
        except OSError as error:
            raise KernelRefused(f"{self.maps(id_)} cannot be made: {error.strerror}") from error

    def pin(self, fd: int, path: Path, *, mode: int = 0o600) -> None:
        """Pin; with a mode past 0600, for the group. Raises as `bpf.pins.pin`."""
        pins.pin(fd, path)
        if mode != 0o600:
            os.chown(path, -1, self._group)
            path.chmod(mode)

    def pins(self) -> frozenset[str]:
        """Every path of ours that exists."""
        return frozenset(str(path.relative_to(self._root)) for path in self._found())

    def unpin(self, names: Collection[str]) -> None:
        """End links, take pins and directories away, what lies in a directory first. Raises `KernelRefused`."""
        for name in sorted(names, key=_order):
            path = self._root / name
            if name.count("/") == 1 and name.startswith("maps/"):
                with suppress(FileNotFoundError):
                    path.rmdir()
            elif name.startswith("links/"):
                pins.unpin_link(path)
            else:
                pins.unpin(path)

    def _found(self) -> Iterator[Path]:
        for kind in ("links", "programs", "shared"):
            yield from (self._root / kind).iterdir()
        for directory in (self._root / "maps").iterdir():
            yield directory
            yield from directory.iterdir()

    def _make_directory(self, path: Path) -> None:
        path.mkdir(mode=0o700, exist_ok=True)
        os.chown(path, -1, self._group)
        path.chmod(_DIRECTORY)


def _order(name: str) -> tuple[int, int]:
    """Links first, for a program that goes must have stopped running; what lies in a directory before it."""
    kind, _, rest = name.partition("/")
    return (_KINDS.index(kind), -rest.count("/"))


def _warn_if_private(root: Path) -> None:
    """Warn when the mount will die with this process's mount namespace."""
    with suppress(OSError):
        own = Path("/proc/self/ns/mnt").readlink() != Path("/proc/1/ns/mnt").readlink()
        if own and not is_passed_on(root, Path("/proc/self/mountinfo").read_text()):
            log.warning(
                "%s was mounted in a mount namespace of its own: pins die with it; mount a bpffs there beforehand",
                root,
            )


def is_passed_on(root: Path, mountinfo: str) -> bool:
    """Whether the mount at `root` has peers, as in a container whose volume is Bidirectional (proc_pid_mountinfo(5))."""
    told = [fields for fields in map(str.split, mountinfo.splitlines()) if fields[4] == str(root).replace(" ", "\\040")]
    optional = told[-1][6 : told[-1].index("-")] if told else []
    kinds = {field.partition(":")[0] for field in optional}
    return "shared" in kinds and "master" not in kinds
