"""The cluster of a session and its release, and what of the machine around them must be as it was before."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.node import bpftool
from tests.real_node.release import Release
from tests.real_node.testbed import Cluster

__all__ = ["Bed", "Ground"]

SETTINGS = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward")


@dataclass(frozen=True)
class Ground:
    """What a node may change of the machine that it runs on."""

    settings: tuple[str, ...]
    interfaces: frozenset[str]

    @classmethod
    def seen(cls) -> Ground:
        """As it is now."""
        shown = subprocess.run(["ip", "-o", "link", "show"], capture_output=True, text=True, check=True).stdout
        return cls(
            tuple((Path("/proc/sys") / name).read_text() for name in SETTINGS),
            frozenset(line.split(": ")[1] for line in shown.splitlines()),
        )


class Bed:
    """A cluster that can be ended before the session is, so that a test can look."""

    def __init__(self, *, cluster: Cluster, ground: Ground, stack: ExitStack) -> None:
        self.cluster, self.ground, self._stack = cluster, ground, stack
        self.release = Release(cluster=cluster)

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Bed]:
        """Have one."""
        ground = Ground.seen()
        with ExitStack() as stack:
            yield cls(cluster=stack.enter_context(Cluster.running()), ground=ground, stack=stack)

    def end(self) -> dict[str, list[str]]:
        """End it; answers traces that are still there, by what they are of."""
        machine, spaces = self.cluster.machine, self.cluster.machine.spaces
        self.release.programs()
        self._stack.close()
        loaded = {program["id"] for program in bpftool("prog")}
        return {
            "processes": _within(spaces, machine.folder.name),
            "mounts": [
                line for line in Path("/proc/self/mountinfo").read_text().splitlines() if machine.folder.name in line
            ],
            "cgroups": [str(path) for path in Path("/sys/fs/cgroup").glob(f"*{machine.cgroup}")],
            "folders": [str(path) for path in (machine.folder,) if path.exists()],
            "programs": [str(number) for number in self.release.seen & loaded],
        }


def _within(spaces: set[str], name: str) -> list[str]:
    """Processes that are in one of these namespaces, or name the folder, in their cgroups too."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended
            words = (entry / "cmdline").read_text(errors="replace") + (entry / "cgroup").read_text()
            own = {str((entry / "ns" / space).readlink()) for space in ("pid", "mnt", "net")}
            if own & spaces or name in words:
                found.append(f"{entry.name} {words}")
    return found
