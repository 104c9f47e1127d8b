"""One look at the cgroups of containers: whose processes are in them, and which of a container's is the oldest."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from conductor.errors import NotSupported
from conductor.managers.cgroups import containers_below, pods_below, v2_root, walk
from conductor.model.facts import Container, ContainerProcess
from conductor.model.kernel import ContainerSelector

__all__ = ["CgroupTrees", "Look", "is_alive"]

_V1 = ("pids", "memory", "systemd")
"""Where a runtime puts containers on a hybrid host, beside the v2 tree or instead of it."""
_RUNTIME = re.compile(r"(?:runc|crun|youki)\b.*")
"""A runtime's own process enters the cgroup first and the namespaces later: it would name the host's."""
_HOST = "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was found, by container, and whether all of it was where pods are known to be."""

    processes: tuple[ContainerProcess, ...]
    is_whole: bool


class CgroupTrees:
    """Own what is remembered of the trees: where pods' cgroups stand, so that a look need not walk all of them."""

    def __init__(self, *, cgroups: Path) -> None:
        self._cgroups = cgroups
        self._homes: dict[Path, frozenset[str]] = {}

    def glance(self, wanted: Collection[ContainerSelector], told: Collection[ContainerProcess]) -> Look:
        """Look at the pods that are asked for, where pods were before; what was told and lives is told again.

        No process of a container becomes older than its oldest one. Raises `NotSupported`.
        """
        uids, ids = _asked(wanted)
        meant = (one for one in told if one.pod_uid in uids or one.container in ids)
        kept = {one.container: one for one in meant if _is_inside(one)}
        oldest = _Oldest(kept)
        seen = set[str]()
        for root in self._roots():
            for uid, path in pods_below(root, self._homes.get(root, frozenset())):
                if uid in uids:
                    seen.add(uid)
                    for container in containers_below(root, path, kept.__contains__):
                        oldest.look(root, container)
        found = oldest.found()
        is_whole = uids <= seen and ids <= {process.container for process in found}
        return Look(processes=found, is_whole=is_whole)

    def survey(self, wanted: Collection[ContainerSelector]) -> Look:
        """Look at every cgroup there is. Raises `NotSupported`."""
        uids, ids = _asked(wanted)
        oldest = _Oldest({})
        for root in self._roots():
            walked = walk(root)
            self._homes[root] = walked.homes
            for container in walked.containers.values():
                if container.pod_uid in uids or container.id in ids:
                    oldest.look(root, container)
        return Look(processes=oldest.found(), is_whole=True)

    def _roots(self) -> list[Path]:
        v2 = v2_root(self._cgroups)
        roots = [] if v2 is None else [v2]
        if v2 != self._cgroups:
            roots += [self._cgroups / name for name in _V1 if (self._cgroups / name / "cgroup.procs").is_file()]
        if not roots:
            raise NotSupported(f"containers are told by their cgroups, and {self._cgroups} shows none")
        return roots


def is_alive(process: ContainerProcess) -> bool:
    """Tell whether that very process lives."""
    seen = _process(process.pid)
    return seen is not None and seen.started == process.started


def _is_inside(process: ContainerProcess) -> bool:
    seen = _process(process.pid)
    return seen is not None and seen.started == process.started and not _RUNTIME.fullmatch(seen.name)


class _Oldest:
    """The oldest process of each container; those that are known are not looked for again."""

    def __init__(self, known: Mapping[str, ContainerProcess]) -> None:
        self._known = known
        self._found: dict[str, tuple[int, int, str]] = {}

    def look(self, root: Path, container: Container) -> None:
        if container.id in self._known:
            return
        for pid, started in _processes(root, container):
            before = self._found.get(container.id)
            if before is None or (started, pid) < before[:2]:
                self._found[container.id] = (started, pid, container.pod_uid)

    def found(self) -> tuple[ContainerProcess, ...]:
        host = _network_of(_HOST)
        fresh = {
            id_: ContainerProcess(
                container=id_,
                pod_uid=uid,
                pid=pid,
                started=started,
                host_network=host is not None and _network_of(str(pid)) == host,
            )
            for id_, (started, pid, uid) in self._found.items()
        }
        both = {**self._known, **fresh}
        return tuple(both[id_] for id_ in sorted(both))


@dataclass(frozen=True, slots=True)
class _Seen:
    name: str
    state: str
    started: int


def _asked(wanted: Collection[ContainerSelector]) -> tuple[frozenset[str], frozenset[str]]:
    uids = frozenset(uid for selector in wanted for uid in selector.pod_uids)
    return uids, frozenset(id_ for selector in wanted for id_ in selector.container_ids)


def _processes(root: Path, container: Container) -> Iterator[tuple[int, int]]:
    """The processes of one cgroup that are in their container's namespaces by now, and when they started."""
    pids: list[int] = []
    with suppress(OSError):  # it went while we looked
        pids = [int(line) for line in (root / container.path / "cgroup.procs").read_text().split()]
    for pid in pids:
        if pid == 0:
            raise NotSupported("containers run outside this agent's PID namespace; start it in the host's (hostPID)")
        seen = _process(pid)
        if seen is not None and not _RUNTIME.fullmatch(seen.name):
            yield pid, seen.started


def _process(pid: int) -> _Seen | None:
    """Look at a process; None where it ended, even if nobody has waited for it yet."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - many times a second
            name, _, rest = file.read().decode(errors="replace").rpartition(")")
    except OSError:
        return None
    fields = rest.split()
    seen = _Seen(name=name.partition("(")[2], state=fields[0], started=int(fields[19]))
    return None if seen.state in "ZX" else seen


def _network_of(pid: str) -> int | None:
    """Tell a process's network namespace from others, which takes no rights: its own link is shown to root alone.

    Files below /proc/PID/net are made once for each namespace, so that their inodes differ.
    """
    try:
        return os.stat(f"/proc/{pid}/net/dev").st_ino  # noqa: PTH116 - as above
    except OSError:
        return None
