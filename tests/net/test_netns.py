from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from conductor.errors import DeadlineExceeded, InvalidSpec, NotFound
from conductor.net.netns import inside, interface_index, netns_of

pytestmark = pytest.mark.kernel


def test_a_task_sees_the_interfaces_of_the_namespace(netns: Path) -> None:
    assert inside(str(netns), lambda: interface_index("in0")) > 0
    with pytest.raises(NotFound):
        interface_index("in0")


def test_without_a_path_the_task_runs_right_here() -> None:
    assert inside(None, threading.current_thread) is threading.current_thread()


def test_what_the_task_raises_is_raised(netns: Path) -> None:
    with pytest.raises(NotFound, match="did you mean in0"):
        inside(str(netns), lambda: interface_index("in00"))


def test_a_task_that_hangs_ends_with_the_deadline(netns: Path) -> None:
    with pytest.raises(DeadlineExceeded):
        inside(str(netns), lambda: time.sleep(0.2), timeout=0.05)


def test_one_namespace_is_one_by_all_its_paths(netns: Path) -> None:
    here = netns_of(None)
    assert here == netns_of(f"/proc/{os.getpid()}/ns/net")
    assert here != netns_of(str(netns))
    assert inside(str(netns), lambda: netns_of("/proc/thread-self/ns/net")) == netns_of(str(netns))


@pytest.mark.parametrize("path", ["/nonexistent", "/etc/passwd", "/proc/self/ns/mnt", "/", "a\0b", "/dev/null"])
def test_what_is_no_network_namespace_is_refused(path: str) -> None:
    with pytest.raises(InvalidSpec):
        inside(path, lambda: None)
    with pytest.raises(InvalidSpec):
        netns_of(path)


def test_no_descriptor_is_left(netns: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    inside(str(netns), lambda: None)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
