"""Containers by cgroup: the v2 tree (or the v2 half of a hybrid one) walked within bounds."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from conductor.model.facts import Container

__all__ = ["CgroupWalk", "container_of", "containers_below", "pods_below", "v2_root", "walk"]

MOST_CGROUPS = 50_000
DEEPEST = 24
_ID = re.compile(r"(?:(?P<runtime>[a-z0-9-]+)-)?(?P<id>[0-9a-f]{64})(?:\.scope)?")
_UID = r"[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32}"
_HOME = re.compile(r"(?:[a-z0-9_-]+-)?kubepods(?:[-_](?:burstable|besteffort))?(?:\.slice)?|burstable|besteffort")
"""Where the kubelet puts pods by their quality of service, spelled for systemd or not."""
_POD = re.compile(rf"(?:[a-z0-9_-]+-)?pod(?P<uid>{_UID})(?:\.slice)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupWalk:
    """What one walk found."""

    containers: Mapping[int, Container] = field(default_factory=dict)
    seen: frozenset[int] = frozenset()
    """Ids of all cgroups, containers or not."""
    homes: frozenset[str] = frozenset()
    """Paths below which pods' cgroups stand."""
    cut_short: bool = False


def container_of(path: str, cgroup_id: int) -> Container | None:
    """Recognise a container by the path of its cgroup: docker, containerd, CRI-O, podman; below kubepods or not.

    A cgroup inside a container's cgroup is that container too.
    """
    pod_uid = ""
    for part in path.split("/"):
        if pod := _POD.fullmatch(part):
            pod_uid = pod["uid"].replace("_", "-")
        found = _ID.fullmatch(part)
        if found and not (found["runtime"] or "").endswith("conmon"):
            return Container(id=found["id"], cgroup_id=cgroup_id, pod_uid=pod_uid, path=path)
    return None


def pods_below(root: Path, homes: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The pods whose cgroups stand right below some paths: UID and path of each."""
    for home in homes:
        for path, _ in _children(root, home):
            if pod := _POD.fullmatch(path.rpartition("/")[2]):
                yield pod["uid"].replace("_", "-"), path


def containers_below(root: Path, pod: str, alike: Callable[[str], bool]) -> Iterator[Container]:
    """The cgroups of a pod's containers, and those inside of them but for containers that are `alike` as before."""
    waiting = [pod]
    while waiting:
        for path, cgroup_id in _children(root, waiting.pop()):
            container = container_of(path, cgroup_id)
            if container is not None:
                yield container
            if path.count("/") < DEEPEST and (container is None or not alike(container.id)):
                waiting.append(path)


def v2_root(mount: Path) -> Path | None:
    """Where the v2 tree stands below /sys/fs/cgroup; None where there is none."""
    for root in (mount, mount / "unified"):
        if (root / "cgroup.controllers").is_file():
            return root
    return None


def walk(root: Path, *, most: int = MOST_CGROUPS) -> CgroupWalk:
    """Look at every cgroup below `root`. A cgroup's id is the inode of its directory (64-bit kernels, from 5.5)."""
    containers: dict[int, Container] = {}
    seen: set[int] = set()
    homes: set[str] = set()
    is_cut = False
    for path, cgroup_id in _directories(root):
        if len(seen) >= most:
            is_cut = True
            break
        seen.add(cgroup_id)
        home, _, name = path.rpartition("/")
        if _POD.fullmatch(name):
            homes.add(home)
        elif _HOME.fullmatch(name):
            homes.add(path)
        if container := container_of(path, cgroup_id):
            containers[cgroup_id] = container
    return CgroupWalk(containers=containers, seen=frozenset(seen), homes=frozenset(homes), cut_short=is_cut)


def _directories(root: Path) -> Iterator[tuple[str, int]]:
    waiting = [("", 0)]
    while waiting:
        path, depth = waiting.pop()
        found = _children(root, path)
        yield from found
        if depth < DEEPEST:
            waiting += [(child, depth + 1) for child, _ in found]


def _children(root: Path, path: str) -> list[tuple[str, int]]:
    try:
        with os.scandir(f"{root}/{path}") as entries:
            return [
                (f"{path}/{e.name}" if path else e.name, e.inode()) for e in entries if e.is_dir(follow_symlinks=False)
            ]
    except OSError:
        return []  # it went while we looked, or is not ours to see
