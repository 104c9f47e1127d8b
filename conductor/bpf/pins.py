"""Pins: names in a bpffs that keep programs, maps and links alive, opened by file permission."""

from __future__ import annotations

import ctypes
import errno
import os
from contextlib import suppress
from ctypes import Structure, c_long
from pathlib import Path
from typing import Any, ClassVar

from conductor.bpf.descriptor import Descriptor
from conductor.bpf.link_create import detach_link
from conductor.bpf.refusals import refused
from conductor.bpf.syscall import Command, ObjPath, bpf, libc
from conductor.bpf.text import c_text
from conductor.errors import (
    ConductorError,
    KernelRefused,
    MapMissing,
    NotAllowed,
    NotFound,
    NotSupported,
)
from conductor.model.grants import Access

__all__ = [
    "is_bpffs",
    "kind_of",
    "mount_bpffs",
    "open_link",
    "open_map_fd",
    "open_program",
    "pin",
    "unpin",
    "unpin_link",
]

_RDONLY = 1 << 3
"""BPF_F_RDONLY."""
_BPF_MAGIC = 0xCAFE4A11


def pin(fd: int, path: Path) -> None:
    """Give a program, map or link a name (mode 0600). Raises `AlreadyExists`, `NotFound`, `KernelRefused`."""
    name = c_text(path, "pin")
    try:
        bpf(Command.OBJ_PIN, ObjPath(pathname=ctypes.addressof(name), bpf_fd=fd))
    except OSError as error:
        raise refused(error, f"pinning {path} failed", helps=_pin_helps(path)) from error


def _pin_helps(path: Path) -> str:
    """Say what a name lacks; empty where the error number says it all."""
    if path.parent.exists() and not is_bpffs(path.parent):
        return f"{path.parent} lies in no bpffs; mount one there"
    return "names in a bpffs have no dots" if "." in path.name else ""


def unpin(path: Path) -> None:
    """Take a name away. No such name: nothing to do. Raises `KernelRefused`, `NotAllowed`."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise refused(error, f"removing the pin {path} failed") from error


def unpin_link(path: Path) -> None:
    """Take a link's name away and end the link: its place is free when this returns. Raises as `unpin`.

    Who only removes the pin has it ended by the kernel some milliseconds later, and is refused XDP's one place till then.
    """
    try:
        link = open_link(path)
    except ConductorError:
        unpin(path)  # not there, or no link: its name is all there is to take
        return
    with link:
        with suppress(NotSupported, KernelRefused):
            detach_link(link.fileno())  # perf links know no detaching: closing the last descriptor ends them at once
        unpin(path)


def open_program(path: Path, *, read_only: bool = True) -> Descriptor:
    """Open a program's pin. Raises `NotFound`, `NotAllowed`, `KernelRefused`."""
    return _open(path, "bpf-prog", _RDONLY if read_only else 0, NotFound)


def open_link(path: Path) -> Descriptor:
    """Open a link's pin; the kernel knows no read-only links. Raises `NotFound`, `NotAllowed`, `KernelRefused`."""
    return _open(path, "bpf-link", 0, NotFound)


def open_map_fd(path: Path, access: Access) -> Descriptor:
    """Open a map's pin as far as `access` says; no capability needed. Raises `MapMissing`, `NotAllowed`."""
    return _open(path, "bpf-map", _RDONLY if access is Access.READ else 0, MapMissing)


def kind_of(fd: int) -> str:
    """Kind of a descriptor as /proc names it: bpf-map, bpf-prog, bpf-link (bpf_link in old kernels), or something else."""
    return str(Path(f"/proc/self/fd/{fd}").readlink()).removeprefix("anon_inode:")


def _open(path: Path, kind: str, flags: int, missing: type[ConductorError]) -> Descriptor:
    name = c_text(path, "pin")
    try:
        opened = Descriptor(bpf(Command.OBJ_GET, ObjPath(pathname=ctypes.addressof(name), file_flags=flags)))
    except OSError as error:
        raise _open_refused(error, path, missing) from error
    found = kind_of(opened.fileno())
    if found.replace("_", "-") != kind:
        opened.close()
        raise KernelRefused(f"{path} is a {found}, not a {kind}")
    return opened


def _open_refused(error: OSError, path: Path, missing: type[ConductorError]) -> ConductorError:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return refused(error, f"there is no pin {path}", helps="is its program loaded?", as_=missing)
    if error.errno in (errno.EACCES, errno.EPERM):
        helps = (
            "its mode and group, or those of a directory above, do not reach this user; beside a real bpfman give the "
            "agent its group by --groups, or run `conductor loader --assist`"
        )
        return refused(error, f"{path} may not be opened", helps=helps, as_=NotAllowed)
    return refused(error, f"{path} cannot be opened", helps="is it a pin in a bpffs?")


# --- the file system --------------------------------------------------------------------------------------------------


class _FileSystem(Structure):
    """struct statfs: its first field is all we read."""

    _fields_: ClassVar[Any] = [("type", c_long), ("rest", c_long * 31)]


def is_bpffs(path: Path) -> bool:
    """Whether `path` exists and lies in a bpffs."""
    answer = _FileSystem()
    return bool(libc.statfs(os.fsencode(path), ctypes.byref(answer)) == 0 and answer.type & 0xFFFFFFFF == _BPF_MAGIC)


def mount_bpffs(path: Path, *, mode: int = 0o750, gid: int = 0) -> None:
    """Mount a bpffs on an existing directory (CAP_SYS_ADMIN). Raises `NotSupported`, `NotAllowed`, `KernelRefused`."""
    if libc.mount(b"bpf", os.fsencode(path), b"bpf", ctypes.c_ulong(0), f"mode={mode:o}".encode()) == 0:
        os.chown(path, -1, gid)
        path.chmod(mode)  # the kernel adds the sticky bit of its own accord
        return
    number = ctypes.get_errno()
    error = OSError(number, os.strerror(number))
    kinds: dict[int, type[ConductorError]] = {errno.ENODEV: NotSupported, errno.EPERM: NotAllowed}
    helps = {errno.ENODEV: "this kernel is built without bpffs (CONFIG_BPF_SYSCALL)", errno.EPERM: "mount it as root"}
    raise refused(error, f"mounting a bpffs on {path} failed", helps=helps.get(number, ""), as_=kinds.get(number))
