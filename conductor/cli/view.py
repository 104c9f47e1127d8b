"""A mount namespace in which a user without rights finds interpreter and code that lie under a closed home.

The usual laptop: checkout, virtual environment or interpreter below a home of mode 0700. In the new namespace that home
is an empty folder, with nothing but the trees that are needed bound into it, read-only, and what the agent writes.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Collection, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import conductor
from conductor.errors import PrivilegesKept
from conductor.privilege import Identity, may_reach

__all__ = ["Closed", "closed", "code", "own_view"]

_CLONE_NEWNS = 0x20000
_RDONLY, _NOSUID, _NODEV, _REMOUNT, _BIND, _REC, _SLAVE = 1, 2, 4, 0x20, 0x1000, 0x4000, 0x80000
_KEPT_FLAGS = 1 | 2 | 4 | 8  # ST_RDONLY, NOSUID, NODEV, NOEXEC are numbered as their MS_ twins


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """A path that an identity needs and the outermost folder that keeps it away."""

    path: Path
    behind: Path


def code() -> tuple[Path, ...]:
    """Everything that must be readable to run this program: interpreter, libraries, our package, and no more."""
    package = Path(conductor.__file__).parent
    libraries = [Path(entry) for entry in sys.path if Path(entry).name in {"site-packages", "dist-packages"}]
    stdlib = Path(os.__file__).parent
    samples = [Path(conductor.__file__), Path(os.__file__), *(library / "click" / "core.py" for library in libraries)]
    trees = [Path(sys.base_prefix), Path(sys.prefix), stdlib, *libraries, package]
    found = [Path(sys.executable), *trees, *samples]
    return tuple(path for path in dict.fromkeys(found) if path.exists())


def closed(paths: Iterable[Path], identity: Identity) -> tuple[Closed, ...]:
    """Those of `paths` that `identity` cannot reach, each with what is in the way; links are followed too."""
    found = []
    for path in paths:
        for spelling in dict.fromkeys((path, path.resolve())):
            behind = may_reach(spelling, identity) if spelling.exists() else None
            if behind and spelling.is_relative_to(behind):  # else a link outside: its target is the other spelling
                found.append(Closed(path=spelling, behind=behind))
    return tuple(found)


def own_view(*, identity: Identity, read: Collection[Path], write: Collection[Path]) -> None:
    """Move this process (root, one thread) into a namespace in which `identity` reaches all these paths.

    Point of no return: the unshare; after it an error must end the process. Raises `PrivilegesKept`.
    """
    writable = {path.resolve() for path in write}
    hidden = _outermost(closed([*read, *write], identity))
    for one in hidden:
        if tree := next((path for path in read if one.behind.is_relative_to(path)), None):
            raise PrivilegesKept(f"{one.behind} is readable by its owner alone; allow it: chmod -R go+rX {tree}")
    folders = {one.behind for one in hidden}
    try:
        _unshare()
        with ExitStack() as handles:
            sources = [(one.path, _handle(one.path, handles)) for one in hidden]
            for folder in sorted(folders):
                _mount("tmpfs", folder, "tmpfs", _NOSUID | _NODEV, "mode=0755,size=1m")
            for path, handle in sources:
                _show(path, handle, read_only=path.resolve() not in writable)
        for folder in sorted(folders):
            _mount(None, folder, None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)
        os.chdir("/")  # the old working folder would be a way back into the home
    except OSError as exc:
        raise PrivilegesKept(f"cannot give the agent a view of its own code: {exc}") from exc


def _outermost(found: Iterable[Closed]) -> list[Closed]:
    """Leave out what lies inside another of them: binding a tree shows all that is in it."""
    by_path = {one.path: one for one in found}
    return [one for path, one in sorted(by_path.items()) if not any(parent in by_path for parent in path.parents)]


def _show(path: Path, handle: int, *, read_only: bool) -> None:
    """Bind the tree behind an O_PATH descriptor where it always was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    source = f"/proc/self/fd/{handle}"
    if Path(source).is_dir():
        path.mkdir(exist_ok=True)
    else:
        path.touch(exist_ok=True)
    flags = os.fstatvfs(handle).f_flag & _KEPT_FLAGS
    _mount(source, path, None, _BIND if read_only else _BIND | _REC)
    if read_only:
        _mount(None, path, None, _REMOUNT | _BIND | _RDONLY | flags)


def _handle(path: Path, handles: ExitStack) -> int:
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    handles.callback(os.close, handle)
    return handle


def _unshare() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "unshare")
    try:
        _mount(None, Path("/"), None, _REC | _SLAVE)
    except OSError:  # in a chroot "/" may be no mount of its own
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            _mount(None, Path(line.split()[4].encode().decode("unicode_escape")), None, _SLAVE)


def _mount(source: str | None, target: Path, kind: str | None, flags: int, data: str | None = None) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    words = [word.encode() if word is not None else None for word in (source, str(target), kind)]
    if libc.mount(*words, ctypes.c_ulong(flags), data.encode() if data else None) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(target))
