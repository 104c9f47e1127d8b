"""The kernel's error numbers as our errors: a sentence that says what was tried and what helps."""

from __future__ import annotations

import errno

from conductor.errors import AlreadyExists, ConductorError, KernelRefused, NotFound, NotSupported

__all__ = ["ENOTSUPP", "refused"]

ENOTSUPP = 524
"""Kernel-internal number that some bpf(2) commands let out."""

_HELP: dict[int, str] = {
    errno.EPERM: "the caller lacks CAP_BPF with CAP_PERFMON or CAP_NET_ADMIN, or this kernel's policy forbids it",
    errno.EACCES: "the file's mode or the verifier forbids it",
    errno.EINVAL: "this kernel does not know the request or it does not fit the object",
    errno.E2BIG: "larger than this kernel accepts",
    errno.ENOMEM: "out of kernel memory or past the memory limit of this cgroup; free some or make the maps smaller",
    errno.ENOSPC: "no room: the map is full or the buffer is too small",
    errno.EBUSY: "something else is attached there or changes it now; detach that first or try again",
    errno.ENODEV: "no such device",
    errno.ENOENT: "it does not exist",
    errno.EEXIST: "it exists already",
    errno.EMFILE: "this process has too many open descriptors; raise its limit (LimitNOFILE)",
    errno.ENFILE: "the machine has too many open files",
    errno.ENOSYS: "this kernel is built without it",
    errno.EOPNOTSUPP: "this object does not support it",
    ENOTSUPP: "this object does not support it",
    errno.EROFS: "the file system is read-only",
    errno.ELOOP: "the program is attached elsewhere in a way that excludes this",
}
_CLASSES: dict[int, type[ConductorError]] = {
    errno.ENODEV: NotFound,
    errno.ENOENT: NotFound,
    errno.EEXIST: AlreadyExists,
    errno.ENOSYS: NotSupported,
    errno.EOPNOTSUPP: NotSupported,
    ENOTSUPP: NotSupported,
}


def refused(error: OSError, doing: str, *, helps: str = "", as_: type[ConductorError] | None = None) -> ConductorError:
    """Make the error for a refused call: class by number (or `as_`), the kernel's word, and what `helps`."""
    number = error.errno or 0
    kind = as_ or _CLASSES.get(number, KernelRefused)
    name = "ENOTSUPP" if number == ENOTSUPP else errno.errorcode.get(number, str(number))
    advice = helps or _HELP.get(number, "")
    return kind(f"{doing}: {error.strerror} ({name})" + (f"; {advice}" if advice else ""))
