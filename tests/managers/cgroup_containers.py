"""Containers as a runtime makes them, cut down to what shows: a cgroup with its name, and processes of ours in it."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conductor.managers.cgroups import v2_root

__all__ = ["Pod", "pod"]

MOUNT = Path("/sys/fs/cgroup")


class Pod:
    """A pod's cgroup, below one of the test's own; `scoped` as the systemd driver spells it, else as cgroupfs does."""

    def __init__(self, root: Path, *, scoped: bool, uid: str = "") -> None:
        self.uid = uid or str(uuid.uuid4())
        self.scoped, self._root = scoped, root
        name = f"kubepods-pod{self.uid.replace('-', '_')}.slice" if scoped else f"pod{self.uid}"
        self.folder = root / ("kubepods.slice" if scoped else "kubepods") / name
        self.folder.mkdir(parents=True)
        self._started: list[subprocess.Popen[bytes]] = []

    def container(self) -> str:
        """Make a container's cgroup; answer its id."""
        id_ = uuid.uuid4().hex * 2
        self._cgroup(id_).mkdir()
        return id_

    def start(self, container: str, *command: str) -> subprocess.Popen[bytes]:
        """Start a process (default: one that sleeps) in a container."""
        enter = f'echo $$ > {self._cgroup(container)}/cgroup.procs && exec "$@"'
        process = subprocess.Popen(["bash", "-c", enter, "bash", *(command or ("sleep", "600"))])
        self._started.append(process)
        return process

    def take(self, container: str, pid: int) -> None:
        """Have a process move into a container."""
        (self._cgroup(container) / "cgroup.procs").write_text(str(pid))

    def remove(self, container: str) -> None:
        """Remove a container's cgroup; its processes have ended."""
        self._cgroup(container).rmdir()

    def end(self) -> None:
        """End what was started, and take every cgroup away."""
        for process in self._started:
            process.kill()
            process.wait(10)
        for cgroup in sorted(self._root.rglob("*/"), key=lambda path: -len(path.parts)):
            cgroup.rmdir()

    def _cgroup(self, container: str) -> Path:
        return self.folder / (f"cri-containerd-{container}.scope" if self.scoped else container)


@contextmanager
def pod(*, scoped: bool = False, uid: str = "") -> Iterator[Pod]:
    """Have a pod, of this UID if any."""
    tree = v2_root(MOUNT)
    assert tree is not None, "this machine mounts no cgroup v2 tree"
    root = tree / f"conductor-test-{uuid.uuid4().hex[:8]}"
    root.mkdir()
    made = Pod(root, scoped=scoped, uid=uid)
    try:
        yield made
    finally:
        made.end()
        root.rmdir()
