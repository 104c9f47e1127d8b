"""tracefs, as far as tracepoints need it: ids and names of events.

Where nobody mounted it, a mount of our own is used that no path shows and that ends with its descriptor (kernel 5.2).
"""

from __future__ import annotations

import ctypes
import difflib
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import c_int, c_long, c_uint
from pathlib import Path

from conductor.bpf.descriptor import Descriptor
from conductor.bpf.syscall import libc
from conductor.errors import NotFound, NotSupported

__all__ = ["event_id", "near", "tracefs"]

_USUAL = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
_FSOPEN, _FSCONFIG, _FSMOUNT = c_long(430), c_long(431), c_long(432)
_CMD_CREATE = c_uint(6)
_CLOEXEC = c_uint(1)


@contextmanager
def tracefs() -> Iterator[Path]:
    """Reach tracefs at a path valid meanwhile. Raises `NotSupported`."""
    for usual in _USUAL:
        if (usual / "events").is_dir():
            yield usual
            return
    with _own_mount() as mount:
        yield Path(f"/proc/self/fd/{mount.fileno()}")


def event_id(name: str) -> int:
    """Id of the tracepoint `group/name`. Raises `NotFound` with near names, `NotSupported`."""
    group, slash, event = name.partition("/")
    if not slash or not group or not event or "/" in event or ".." in name or "\0" in name:
        raise NotFound(f"{name!r} is no tracepoint: write group/name, as in sched/sched_switch")
    with tracefs() as root:
        try:
            return int((root / "events" / group / event / "id").read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise NotFound(f"this kernel has no tracepoint {name}{near(name, _names(root, group))}") from None
        except PermissionError as error:
            raise NotSupported(f"{root} is not readable: tracepoints need root or CAP_DAC_READ_SEARCH") from error


def near(name: str, names: list[str]) -> str:
    """Say which names come near, as the end of a sentence; empty when none does."""
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    return f"; near: {', '.join(close)}" if close else ""


def _names(root: Path, group: str) -> list[str]:
    groups = [group] if (root / "events" / group).is_dir() else _listed(root / "events")
    return [f"{g}/{event}" for g in groups for event in _listed(root / "events" / g)]


def _listed(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    except OSError:
        return []


def _own_mount() -> Descriptor:
    helps = "mount it: mount -t tracefs tracefs /sys/kernel/tracing"
    context = libc.syscall(_FSOPEN, b"tracefs", _CLOEXEC)
    if context < 0:
        missing = ctypes.get_errno() == errno.ENODEV
        raise NotSupported("this kernel has no tracefs (CONFIG_TRACING)" if missing else f"tracefs is away; {helps}")
    with Descriptor(context):
        made = libc.syscall(_FSCONFIG, c_int(context), _CMD_CREATE, None, None, c_int(0))
        mount = libc.syscall(_FSMOUNT, c_int(context), _CLOEXEC, c_uint(0)) if made == 0 else -1
    if mount < 0:
        raise NotSupported(f"tracefs cannot be mounted ({os.strerror(ctypes.get_errno())}); {helps}")
    return Descriptor(mount)
