"""One look at real cgroups: what it finds, and what it need not look at."""

from __future__ import annotations

import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from conductor.managers.kernel_cgroups import CgroupTrees
from conductor.model.facts import ContainerProcess
from conductor.model.kernel import ContainerSelector
from tests.managers.cgroup_containers import Pod, pod
from tests.real_bpfman.space import spaced

pytestmark = pytest.mark.kernel
MOUNT = Path("/sys/fs/cgroup")


@pytest.fixture(params=[False, True], ids=["cgroupfs", "systemd"])
def made(request: pytest.FixtureRequest) -> Iterator[Pod]:
    with pod(scoped=request.param) as made:
        yield made


def of(made: Pod) -> list[ContainerSelector]:
    return [ContainerSelector(pod_uids=(made.uid,))]


def test_a_network_is_told_to_be_the_hosts_or_not(made: Pod) -> None:
    own, host = made.container(), made.container()
    with spaced() as space, subprocess.Popen(["sleep", "600"]) as process:
        made.take(own, space.process.pid)
        made.take(host, process.pid)
        look = CgroupTrees(cgroups=MOUNT).survey(of(made))
        assert {one.container: one.host_network for one in look.processes} == {own: False, host: True}
        process.kill()


def test_a_glance_finds_what_came_where_pods_were(made: Pod) -> None:
    trees = CgroupTrees(cgroups=MOUNT)
    assert not trees.glance(of(made), ()).is_whole, "nobody knows yet where pods are"
    assert trees.survey(of(made)).processes == ()
    id_ = made.container()
    process = made.start(id_)
    (found,) = until_one(trees, made)
    assert (found.container, found.pid) == (id_, process.pid)
    assert trees.glance(of(made), (found,)).processes == (found,)
    process.kill()
    process.wait()
    assert trees.glance(of(made), (found,)).processes == ()


def test_processes_in_a_cgroup_of_the_containers_own_are_its_too(made: Pod) -> None:
    id_ = made.container()
    trees = CgroupTrees(cgroups=MOUNT)
    trees.survey(of(made))
    inner = next(made.folder.glob(f"*{id_}*")) / "init.scope"
    inner.mkdir()
    with subprocess.Popen(["sleep", "600"]) as process:
        (inner / "cgroup.procs").write_text(str(process.pid))
        (found,) = trees.glance(of(made), ()).processes
        assert (found.container, found.pid) == (id_, process.pid)
        process.kill()


def test_the_kubelets_folders_are_known_before_a_pod_is_in_them(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").touch()
    homes = ("kubepods/burstable", "kubepods.slice/kubepods-besteffort.slice", "kubelet.slice/kubelet-kubepods.slice")
    for home in homes:
        (tmp_path / home).mkdir(parents=True)
    trees = CgroupTrees(cgroups=tmp_path)
    trees.survey(())
    for home in homes:
        uid = str(uuid.uuid4())
        selector = [ContainerSelector(pod_uids=(uid,))]
        assert not trees.glance(selector, ()).is_whole
        (tmp_path / home / f"pod{uid}").mkdir()
        assert trees.glance(selector, ()).is_whole, home


def until_one(trees: CgroupTrees, made: Pod) -> tuple[ContainerProcess, ...]:
    until = time.monotonic() + 10
    while not (found := trees.glance(of(made), ()).processes):
        assert time.monotonic() < until
    return found
