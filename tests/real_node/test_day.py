"""A day's life in minutes: seeded changes of pods, programs and the node; in the end nothing is left over.

CONDUCTOR_DAY says how many (40; 500 take about ten minutes), CONDUCTOR_FAULT_SEED which.
"""

from __future__ import annotations

import os
import random
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.real_node.day import Day
from tests.real_node.release import NAMESPACE, Release
from tests.real_node.shelf import Shelf
from tests.real_node.testbed import NODE, Cluster
from tests.real_node.watched import library_in
from tests.wasm.guests import counting

CHANGES = int(os.environ.get("CONDUCTOR_DAY", "40"))
TOGETHER = 10
"""Changes between two looks at whether everything is as it was wished."""
pytestmark = [pytest.mark.node, pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(120 + 3 * CHANGES)]


@pytest.fixture
def day(cluster: Cluster, release: Release, compiled: Callable[[str], Path], tmp_path: Path) -> Iterator[Day]:
    release.have("agent.leaseDuration=3s")
    seed = int(os.environ.get("CONDUCTOR_FAULT_SEED") or secrets.randbelow(1 << 31))
    print(f"a day of {CHANGES} changes, CONDUCTOR_FAULT_SEED={seed}")
    with Shelf.open(cluster.machine) as shelf:
        images = {
            "inside": shelf.put_object("real", compiled("real"), tcx_plain="tcx", uprobe_plain="uprobe"),
            "ticks": shelf.put_guest("ticks", counting()),
        }
        yield Day(release=release, images=images, library=library_in(tmp_path), dice=random.Random(seed))
    cluster.kubectl("delete", "pods", "--all", "--now")  # some are left where the test failed
    cluster.kubectl("label", "node", NODE, "day-")
    cluster.kubectl("uncordon", NODE)


def test_in_the_evening_nothing_is_left_over(day: Day) -> None:
    release = day.release
    day.everything()  # once all of it, so that what is loaded late counts as the morning's
    day.nothing()
    morning, began = day.figures(), time.monotonic()
    print(f"morning: {morning}")
    for number in range(1, CHANGES + 1):
        day.change(agent_too=number <= CHANGES // 2)  # so that the second half is one agent's life
        if number % TOGETHER == 0:
            day.settled()
    day.settled()
    print(f"{CHANGES} changes in {time.monotonic() - began:.0f} s: {dict(sorted(day.done.items()))}")
    day.nothing()
    assert release.gone(release.seen)
    assert release.links() == []
    assert release.pins() == set()
    assert release.states() == {}
    assert release.cluster.items("controllerrevisions", "-n", NAMESPACE, "-l", "!controller-revision-hash") == []
    evening = day.figures()
    print(f"evening: {evening}")
    assert evening.series == morning.series
    assert evening.descriptors <= morning.descriptors + 8
    assert evening.agent_mib <= morning.agent_mib * 1.25 + 8, "the agent grew"
    assert evening.loader_mib <= morning.loader_mib * 1.25 + 8, "the loader grew"
