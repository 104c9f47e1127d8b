"""Give up every right for good, and prove it: user, groups, five capability sets, no_new_privs.

Everything here happens before the process has a second thread: a thread started before the drop would keep its rights.
"""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from conductor.config import IdentityConfig
from conductor.errors import InvalidConfig, PrivilegesKept, StateUnwritable

__all__ = ["Identity", "confirm", "drop", "group_id", "identity_of", "may_reach", "private_folder", "shared_folder"]

_PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_SECUREBITS, _PR_SET_NO_NEW_PRIVS = 4, 24, 28, 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_CAP_SETPCAP = 8
_CAPABILITY_VERSION_3 = 0x20080522
# NOROOT (an exec as uid 0 gains nothing), KEEP_CAPS off, NO_CAP_AMBIENT_RAISE, each locked (linux/securebits.h).
_SECUREBITS = 1 << 0 | 1 << 1 | 1 << 5 | 1 << 6 | 1 << 7
_SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a process is, in numbers."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()

    @property
    def words(self) -> str:
        """How a sentence names it."""
        return f"uid {self.uid}, gid {self.gid}"


def identity_of(config: IdentityConfig) -> Identity:
    """Resolve who the agent becomes; who is not root stays who he is. Raises `InvalidConfig`."""
    user, _, group = config.user.partition(":")
    uid, own_group = _user(user)
    gid = group_id(group, "--user") if group else own_group
    if uid == 0 and not config.allow_uid0:
        problem = (
            "uid 0 still owns root's files and pins without any capability; choose another user (--allow-uid0 insists)"
        )
        raise InvalidConfig((("--user", problem),))
    if os.geteuid() == 0:
        identity = Identity(uid=uid, gid=gid, groups=tuple(group_id(name, "--groups") for name in config.groups))
    elif user != "65532" and uid != os.geteuid():
        raise InvalidConfig((("--user", f"only root can become {user}; start as root or leave it out"),))
    else:
        identity = Identity(uid=os.geteuid(), gid=os.getegid(), groups=tuple(os.getgroups()))
    _check_doors(config.doors, identity)
    return identity


def _check_doors(doors: tuple[str, ...], identity: Identity) -> None:
    """Refuse a group that the agent could not give its socket to; with two groups it gives it to neither."""
    wanted = {group_id(name, "--read-group, --change-group") for name in doors}
    if len(wanted) == 1 and not wanted & {identity.gid, *identity.groups}:
        problem = f"the agent gives its socket to group {doors[0]}, so it must be in it: add --groups {doors[0]}"
        raise InvalidConfig((("--groups", problem),))


def group_id(group: str, field: str = "group") -> int:
    """Answer the number of a group given by name or number. Raises `InvalidConfig`."""
    if group.isdecimal():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise InvalidConfig(((field, f"this machine has no group {group}"),)) from None


def drop(identity: Identity) -> None:
    """Become `identity` without any right, for good; where that is so already, do nothing.

    Raises `PrivilegesKept` where a thread already runs, a step is refused, or something is left afterwards; a process
    that sees it must end.
    """
    able = bool(int(_status("self")["CapEff"], 16) & 1 << _CAP_SETPCAP)
    if _is_dropped(identity, bounding=able):
        return
    _refuse_threads()
    try:
        if able:
            _empty_bounding_set()
            _prctl(_PR_SET_SECUREBITS, _SECUREBITS)
        _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
        if os.geteuid() == 0 and _ids(_status("self")) != _ids_of(identity):
            os.setgroups(identity.groups)
            os.setresgid(identity.gid, identity.gid, identity.gid)
            os.setresuid(identity.uid, identity.uid, identity.uid)
        _empty_capabilities()
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        # A change of uid makes /proc/self root's own; a process must be able to read its own descriptors and threads.
        _prctl(_PR_SET_DUMPABLE, 1)
    except OSError as exc:
        raise PrivilegesKept(f"cannot become {identity.words} without rights: {exc.strerror}") from exc
    confirm(identity, bounding=able)


def confirm(identity: Identity, *, bounding: bool = True) -> None:
    """Read from the kernel that every thread is `identity` with empty sets and no_new_privs; raise `PrivilegesKept`.

    `bounding` False spares the bounding set: who never had CAP_SETPCAP cannot empty it, and no_new_privs makes it idle.
    """
    for thread in _threads():
        status = _status(f"self/task/{thread}")
        sets = [name for name in _SETS if int(status[name], 16) and (bounding or name != "CapBnd")]
        if sets:
            raise PrivilegesKept(f"thread {thread} still has capabilities ({', '.join(sets)})")
        if status["NoNewPrivs"] != "1":
            raise PrivilegesKept(f"thread {thread} may still gain rights by an exec")
        if _ids(status) != _ids_of(identity):
            raise PrivilegesKept(f"thread {thread} is not {identity.words} alone")


# --- what must be there before ------------------------------------------------------------------------------------------


def private_folder(path: Path, identity: Identity, *, mode: int = 0o750) -> None:
    """Make a folder that `identity` alone writes, with all that is in it. Raises `StateUnwritable`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=mode, exist_ok=True)
        if os.geteuid() == 0:
            _give(path, identity)
            path.chmod(mode)
    except OSError as exc:
        raise _cannot_make(path, exc) from exc
    if os.geteuid() != 0 and not os.access(path, os.W_OK | os.X_OK):
        raise StateUnwritable(f"{path} belongs to somebody else; choose another folder or start as root")


def shared_folder(path: Path, identity: Identity) -> None:
    """Make a folder in which root and `identity` keep sockets side by side (root's, sticky, group may write).

    One that exists is left as it is if `identity` can write there, and where the whole system uses it. Raises
    `StateUnwritable`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o755, exist_ok=True)
        if _permits(path, identity, 0o3):
            return
        if os.geteuid() == 0 and path.stat().st_uid == 0 and not _is_the_systems(path.resolve()):
            os.chown(path, 0, identity.gid)
            path.chmod(0o1775)
            return
    except OSError as exc:
        raise _cannot_make(path, exc) from exc
    raise StateUnwritable(f"{path} cannot be written by {identity.words}; choose a folder of its own for the sockets")


def may_reach(path: Path, identity: Identity) -> Path | None:
    """Answer None where `identity` can read `path`, else the outermost folder (or file) that stops it, by mode bits."""
    for spelling in dict.fromkeys((path, path.resolve())):
        for step in (*reversed(spelling.parents), spelling):
            try:
                wanted = 0o5 if step.is_dir() and step == spelling else 0o1 if step.is_dir() else 0o4
                if not _permits(step, identity, wanted):
                    return step
            except OSError:
                break
    return None


# --- steps --------------------------------------------------------------------------------------------------------------


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


def _prctl(option: int, argument: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, *(ctypes.c_ulong(value) for value in (argument, 0, 0, 0))) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}: {os.strerror(ctypes.get_errno())}")


def _is_dropped(identity: Identity, *, bounding: bool) -> bool:
    try:
        confirm(identity, bounding=bounding)
    except PrivilegesKept:
        return False
    return True


def _empty_bounding_set() -> None:
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    for capability in range(last + 1):
        _prctl(_PR_CAPBSET_DROP, capability)


def _empty_capabilities() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    nothing = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable: two words each
    if libc.capset(ctypes.byref(_Header(_CAPABILITY_VERSION_3, 0)), nothing) != 0:
        raise OSError(ctypes.get_errno(), f"capset: {os.strerror(ctypes.get_errno())}")


def _threads() -> list[str]:
    return [task.name for task in Path("/proc/self/task").iterdir()]


def _refuse_threads() -> None:
    if (count := len(_threads())) != 1:
        raise PrivilegesKept(f"{count} threads run already and would keep their rights; drop before importing numpy")


def _status(process: str) -> dict[str, str]:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _ids(status: dict[str, str]) -> tuple[frozenset[int], frozenset[int], frozenset[int]]:
    uids, gids, groups = (frozenset(map(int, status[key].split())) for key in ("Uid", "Gid", "Groups"))
    return uids, gids, groups


def _ids_of(identity: Identity) -> tuple[frozenset[int], frozenset[int], frozenset[int]]:
    return frozenset({identity.uid}), frozenset({identity.gid}), frozenset(identity.groups)


def _user(user: str) -> tuple[int, int]:
    try:
        entry = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except KeyError:
        if user.isdecimal():
            return int(user), int(user)  # needs no entry: containers have none
        raise InvalidConfig((("--user", f"this machine has no user {user}"),)) from None
    return entry.pw_uid, entry.pw_gid


def _permits(path: Path, identity: Identity, wanted: int) -> bool:
    """Whether mode bits give `wanted` (rwx as 4, 2, 1); a sticky folder's bits are read like any other's."""
    found = path.stat()
    if identity.uid == 0:
        return True
    if found.st_uid == identity.uid:
        return found.st_mode >> 6 & wanted == wanted
    if found.st_gid in {identity.gid, *identity.groups}:
        return found.st_mode >> 3 & wanted == wanted
    return found.st_mode & wanted == wanted


def _is_the_systems(path: Path) -> bool:
    """Whether others keep things there, so that its mode is none of our business."""
    top = path.parts[1] if len(path.parts) > 1 else "/"
    return (
        len(path.parts) <= 2
        or path.parent == Path("/var")
        or top not in {"run", "var", "tmp", "srv", "opt", "home", "root", "mnt"}
    )


def _give(folder: Path, identity: Identity) -> None:
    """Change the owner of a folder and, where it was another's before, of all that is in it; follows no link."""
    before = folder.lstat()
    if (before.st_uid, before.st_gid) == (identity.uid, identity.gid):
        return
    for path in (folder, *_below(folder)):
        os.chown(path, identity.uid, identity.gid, follow_symlinks=False)


def _below(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        yield from (Path(root, name) for name in (*folders, *files))


def _cannot_make(path: Path, exc: OSError) -> StateUnwritable:
    return StateUnwritable(f"cannot make {path}: {exc.strerror}; start as root, or choose another place for it")
