"""Inside real pods: a uprobe in a container's files and TCX in a pod's network, by labels; followed, and never the wrong one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conductor.bpf.maps import open_map
from conductor.model.grants import Access
from tests.real_bpfman.bed import SLOTS
from tests.real_node.release import RUN, Release
from tests.real_node.shelf import Shelf
from tests.real_node.testbed import Cluster
from tests.real_node.watched import LABEL, LIBRARY, WAIT, library_in, pod, watching_program

pytestmark = [pytest.mark.node, pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(300)]
TOUCH = "import ctypes, sys; touched = ctypes.CDLL(sys.argv[1]).touched; [touched() for _ in range(int(sys.argv[2]))]"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> str:
    return library_in(tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="module", autouse=True)
def watched(cluster: Cluster, release: Release, compiled: Callable[[str], Path]) -> Iterator[None]:
    """A program that wants every pod with the label."""
    release.have("agent.leaseDuration=3s")
    with Shelf.open(cluster.machine) as shelf:
        url = shelf.put_object("real", compiled("real"), tcx_plain="tcx", uprobe_plain="uprobe")
        cluster.apply(watching_program("inside", url))
        cluster.until(lambda: "inside" in release.states(), "told of")
        yield
        cluster.kubectl("delete", "pods", "--all", "--now")
        cluster.kubectl("delete", "kp", "inside", "--timeout=60s")


def counted(release: Release, stem: str) -> int:
    """How often one of the two programs ran."""
    pins = [name for name in release.pins("maps") if name.endswith("/counts")]  # one map, pinned for each program
    with open_map(release.cluster.machine.seen(f"{RUN}/bpf/{pins[0]}"), Access.READ) as counts:
        return int.from_bytes(counts.lookup(SLOTS[stem].to_bytes(4, "little")) or b"", "little")


def touch(release: Release, name: str, times: int) -> None:
    release.cluster.kubectl("exec", name, "--", "python3", "-c", TOUCH, LIBRARY, str(times))


def processes(release: Release, name: str) -> list[Path]:
    """The processes of a pod's container, by their folders in /proc."""
    uid = release.cluster.get("pod", name)["metadata"]["uid"]
    found = [Path(f"/proc/{pid}") for pid, words in release.cluster.machine.processes() if WAIT in words]
    return [path for path in found if uid in (path / "cgroup").read_text()]


def running(release: Release, name: str) -> float:
    """Wait for a pod's process; answers when it was seen first."""
    release.cluster.until(lambda: processes(release, name), f"running {name}")
    return time.monotonic()


def attached(release: Release, number: int, since: float) -> tuple[float, float]:
    """Wait for a number of links of each kind; answers how long it took: in networks, in files."""
    until, took = time.monotonic() + 10, dict[str, float]()
    while len(took) < 2:
        kinds = [link.type for link in release.links()]
        for kind in ("tcx", "perf_event"):
            if kinds.count(kind) == number:
                took.setdefault(kind, time.monotonic() - since)
        assert time.monotonic() < until, f"{release.links()} and not {number} of each\n{release.cluster.story()}"
        time.sleep(0.02)
    return took["tcx"], took["perf_event"]


def test_pods_are_followed_as_they_come_and_go(release: Release, library: str) -> None:
    cluster = release.cluster
    assert release.links() == []
    cluster.apply(pod("one", library, LABEL), pod("stranger", library, {"watched": "no"}))
    took = [attached(release, 1, running(release, "one"))]
    running(release, "stranger")
    touch(release, "one", 7)
    touch(release, "stranger", 100)
    assert counted(release, "uprobe") == 7, "a stranger's calls were counted"
    cluster.apply(pod("two", library, LABEL))
    took.append(attached(release, 2, running(release, "two")))
    touch(release, "two", 3)
    assert counted(release, "uprobe") == 10
    assert counted(release, "tcx") > 0
    ended = processes(release, "one")
    cluster.kubectl("delete", "pod", "one", "--now", "--wait=false")
    cluster.until(lambda: not any(path.exists() for path in ended), "ended")
    gone = attached(release, 1, time.monotonic())
    networks, files = (max(times) for times in zip(*took, strict=True))
    print(
        f"new pods: in their networks after {networks:.2f} s, in containers by name after {files:.2f} s; gone {gone} s"
    )
    assert networks < 2, "one second, and another for a busy machine"
    assert files < 4, "the kubelet tells of names a second later"
    assert max(gone) < 2


def test_a_pod_made_again_with_the_same_name_is_the_one_that_counts(release: Release, library: str) -> None:
    cluster, before = release.cluster, counted(release, "uprobe")
    cluster.kubectl("delete", "pod", "two", "--now")
    cluster.apply(pod("two", library, LABEL))
    attached(release, 1, running(release, "two"))
    touch(release, "two", 5)
    assert counted(release, "uprobe") == before + 5
    release.until(inside="Running")
