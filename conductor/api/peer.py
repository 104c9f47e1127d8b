"""Who calls, by the kernel's word (SO_PEERCRED, SO_PEERGROUPS), and what they may do."""

from __future__ import annotations

import grp
import pwd
import socket
import struct
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from conductor.errors import NotAllowed

__all__ = ["Caller", "Gate", "Permission", "caller_of", "permission_of"]

_SO_PEERGROUPS = 59
_UCRED = struct.Struct("=iII")
_GROUPS_ROOM = 1024
"""Most bytes that Python's getsockopt reads: 256 groups; who is in more is known by the primary one alone."""
_READS = frozenset(
    {"List", "Get", "Watch", "Logs", "Usage", "Info", "ListKernel", "GetKernel", "KernelLog", "ListAvailable"}
    | {"ListImages"}
)


class Permission(Enum):
    """What a call needs."""

    NONE = "none"
    READ = "read"
    CHANGE = "change"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The process at the other end, as it was when it connected."""

    uid: int
    gid: int
    pid: int
    groups: frozenset[int] = frozenset()

    @property
    def name(self) -> str:
        """User name, or the number where there is none."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return f"uid {self.uid}"


class _Socket(Protocol):
    def getsockopt(self, level: int, option: int, buflen: int, /) -> bytes: ...


def caller_of(sock: _Socket) -> Caller:
    """Ask the kernel who connected (SO_PEERGROUPS: kernel 4.13)."""
    pid, uid, gid = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_ROOM)
    except OSError:
        raw = b""
    groups = struct.unpack(f"={len(raw) // 4}I", raw[: len(raw) // 4 * 4])
    return Caller(uid=uid, gid=gid, pid=pid, groups=frozenset(groups) | {gid})


def permission_of(path: str) -> Permission:
    """Tell what a method needs by its path; whatever is not known to only read is a change."""
    service, _, method = path.removeprefix("/").partition("/")
    if service == "grpc.health.v1.Health":
        return Permission.NONE
    return Permission.READ if method in _READS else Permission.CHANGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Who may read and who may change: root, the agent's own user, and two groups."""

    owner: int
    read_group: int | None = None
    change_group: int | None = None

    def knows(self, caller: Caller) -> bool:
        """Whether they may do anything at all; others may ask for health alone."""
        return caller.uid in (0, self.owner) or bool(caller.groups & {self.read_group, self.change_group})

    def check(self, caller: Caller, permission: Permission) -> None:
        """Refuse a caller. Raises `NotAllowed` naming the user and the flag that would let them in."""
        if permission is Permission.NONE or caller.uid in (0, self.owner):
            return
        groups = {self.change_group} | ({self.read_group} if permission is Permission.READ else set())
        if caller.groups & groups:
            return
        flag = f"--{permission.value}-group"
        named = self.read_group if permission is Permission.READ else self.change_group
        hint = f"join group {_group_name(named)} ({flag})" if named is not None else f"start the agent with {flag}"
        raise NotAllowed(f"{caller.name} may not {permission.value} here: be root or the agent's user, or {hint}")


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
