"""Containers by the cgroups that their runtime made: ids and pod UIDs are in the paths, processes in the files."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from conductor.errors import NotSupported
from conductor.managers.cgroups import v2_root, walk
from conductor.model.facts import Container, ContainerProcess
from conductor.model.kernel import ContainerSelector

__all__ = ["CgroupContainers"]

LOOK_SECONDS = 1.0
"""Between looks whether those that were told still live."""
WALK_EVERY = 3
"""Looks, of which one walks the whole tree for newcomers."""
_V1 = ("pids", "memory", "systemd")
"""Where a runtime puts containers on a hybrid host, beside the v2 tree or instead of it."""
_RUNTIME = re.compile(r"(?:runc|crun|youki)\b.*")
"""A runtime's own process enters the cgroup first and the namespaces later: it would name the host's."""


class CgroupContainers:
    """Processes of this host's containers; implements `ports.Containers`. Looks only while someone asks for any."""

    def __init__(self, *, cgroups: Path = Path("/sys/fs/cgroup"), look_seconds: float = LOOK_SECONDS) -> None:
        self._cgroups, self._look_seconds = cgroups, look_seconds
        self._wanted: tuple[ContainerSelector, ...] = ()
        self._told: tuple[ContainerProcess, ...] = ()
        self._asked = asyncio.Event()

    async def processes(self, wanted: Collection[ContainerSelector]) -> tuple[ContainerProcess, ...]:
        """Find the oldest process of each container that any of these selects. Raises `NotSupported`."""
        self._wanted, self._told = tuple(wanted), ()
        if not self._wanted:
            self._asked.clear()
            return ()
        self._asked.set()
        self._told = await asyncio.to_thread(self._look, self._wanted)
        return self._told

    def lives(self, process: ContainerProcess) -> bool:
        """Tell whether that very process lives."""
        seen = _process(process.pid)
        return seen is not None and seen.started == process.started

    async def changes(self) -> AsyncIterator[None]:
        """Tell that containers came or went; runs for ever. Raises `NotSupported`."""
        looks = 0
        while True:
            await self._asked.wait()
            await asyncio.sleep(self._look_seconds)
            looks += 1
            told, wanted = self._told, self._wanted
            has_moved = not all(map(self.lives, told))
            if not has_moved and looks % WALK_EVERY == 0:
                has_moved = await asyncio.to_thread(self._look, wanted) != told
            if has_moved and told is self._told:
                yield

    def _look(self, wanted: tuple[ContainerSelector, ...]) -> tuple[ContainerProcess, ...]:
        pods = frozenset(uid for selector in wanted for uid in selector.pod_uids)
        ids = frozenset(id_ for selector in wanted for id_ in selector.container_ids)
        found: dict[str, ContainerProcess] = {}
        for root in self._roots():
            for container in walk(root).containers.values():
                if container.pod_uid in pods or container.id in ids:
                    for process in _processes(root, container):
                        before = found.get(container.id)
                        if before is None or (process.started, process.pid) < (before.started, before.pid):
                            found[container.id] = process
        return tuple(found[id_] for id_ in sorted(found))

    def _roots(self) -> list[Path]:
        v2 = v2_root(self._cgroups)
        roots = [] if v2 is None else [v2]
        if v2 != self._cgroups:
            roots += [self._cgroups / name for name in _V1 if (self._cgroups / name / "cgroup.procs").is_file()]
        if not roots:
            raise NotSupported(f"containers are told by their cgroups, and {self._cgroups} shows none")
        return roots


@dataclass(frozen=True, slots=True)
class _Seen:
    name: str
    state: str
    started: int


def _processes(root: Path, container: Container) -> Iterator[ContainerProcess]:
    """The processes of one cgroup that are in their container's namespaces by now."""
    pids: list[int] = []
    with suppress(OSError):  # it went while we looked
        pids = [int(line) for line in (root / container.path / "cgroup.procs").read_text().split()]
    for pid in pids:
        if pid == 0:
            raise NotSupported("containers run outside this agent's PID namespace; start it in the host's (hostPID)")
        seen = _process(pid)
        if seen is not None and not _RUNTIME.fullmatch(seen.name):
            yield ContainerProcess(container=container.id, pod_uid=container.pod_uid, pid=pid, started=seen.started)


def _process(pid: int) -> _Seen | None:
    """Look at a process; None where it ended, even if nobody has waited for it yet."""
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_bytes().decode(errors="replace").rpartition(")")
    except OSError:
        return None
    fields = rest.split()
    seen = _Seen(name=name.partition("(")[2], state=fields[0], started=int(fields[19]))
    return None if seen.state in "ZX" else seen
