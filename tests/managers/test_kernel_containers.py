"""Containers found by real cgroups, and processes that are really theirs."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conductor.errors import NotSupported
from conductor.managers.kernel_containers import CgroupContainers
from conductor.model.facts import ContainerProcess
from conductor.model.kernel import ContainerSelector
from tests.managers.cgroup_containers import Pod, pod

pytestmark = pytest.mark.kernel


@pytest.fixture(params=[False, True], ids=["cgroupfs", "systemd"])
def made(request: pytest.FixtureRequest) -> Iterator[Pod]:
    """A pod, in both spellings."""
    with pod(scoped=request.param) as made:
        yield made


def by_pod(made: Pod) -> tuple[ContainerSelector, ...]:
    return (ContainerSelector(pod_uids=(made.uid,)),)


async def told(containers: CgroupContainers, *wanted: ContainerSelector, count: int) -> tuple[ContainerProcess, ...]:
    """Ask until there are so many."""
    async with asyncio.timeout(10):
        while True:
            if len(found := await containers.processes(wanted)) == count:
                return found
            await asyncio.sleep(0.02)


async def test_pods_are_found_by_uid_and_containers_by_id(made: Pod) -> None:
    first, second = sorted((made.container(), made.container()))
    pids = {id_: made.start(id_).pid for id_ in (first, second)}
    containers = CgroupContainers()
    found = await told(containers, *by_pod(made), count=2)
    assert [(p.container, p.pid, p.pod_uid) for p in found] == [(i, pids[i], made.uid) for i in (first, second)]
    (one,) = await told(containers, ContainerSelector(container_ids=(second,)), count=1)
    assert one == found[1]
    assert containers.lives(one)


async def test_the_oldest_process_speaks_for_its_container(made: Pod) -> None:
    id_ = made.container()
    containers, wanted = CgroupContainers(), by_pod(made)
    oldest = made.start(id_)
    (first,) = await told(containers, *wanted, count=1)
    await asyncio.sleep(0.02)  # the kernel tells starts by the hundredth of a second
    younger = made.start(id_)
    (still,) = await told(containers, *wanted, count=1)
    assert first == still
    assert first.pid == oldest.pid
    oldest.kill()
    await asyncio.sleep(0.1)  # dead, and waited for by nobody: its namespaces cannot be entered
    assert not containers.lives(first)
    (then,) = await told(containers, *wanted, count=1)
    assert then.pid == younger.pid


async def test_a_runtime_that_is_on_its_way_in_is_not_the_container(made: Pod) -> None:
    id_ = made.container()
    script = "import ctypes, time; time.sleep(.1); ctypes.CDLL(None).prctl(15, b'runc:[2:INIT]'); time.sleep(600)"
    made.start(id_, "python3", "-c", script)
    await told(CgroupContainers(), *by_pod(made), count=1)
    await told(CgroupContainers(), *by_pod(made), count=0)


def reusing(pid: int) -> subprocess.Popen[bytes] | None:
    """Start a process with the number of one that ended; None where somebody else was given it."""
    for _ in range(20):
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        process = subprocess.Popen(["sleep", "600"])
        if process.pid == pid:
            return process
        process.kill()
        process.wait()
    return None


async def ended_and_followed(made: Pod, id_: str) -> tuple[ContainerProcess, subprocess.Popen[bytes]]:
    """A container's process that ended, and a stranger that has its number now."""
    for _ in range(50):
        process = made.start(id_)
        (found,) = await told(CgroupContainers(), *by_pod(made), count=1)
        # Starts are told by the hundredth of a second, in which no machine goes round all its pids.
        await asyncio.sleep(0.02)
        process.kill()
        process.wait()
        if (stranger := await asyncio.to_thread(reusing, found.pid)) is not None:
            return found, stranger
    raise AssertionError("no number was to be had again")


async def test_a_later_process_of_the_same_number_is_another(made: Pod) -> None:
    id_ = made.container()
    found, stranger = await ended_and_followed(made, id_)
    containers = CgroupContainers()
    try:
        assert not containers.lives(found)
        assert await containers.processes(by_pod(made)) == ()
        made.take(id_, stranger.pid)
        (successor,) = await told(containers, *by_pod(made), count=1)
        assert successor.pid == found.pid
        assert successor != found
    finally:
        stranger.kill()
        stranger.wait()


async def test_comings_and_goings_are_told(made: Pod) -> None:
    containers, wanted = CgroupContainers(look_seconds=0.02), by_pod(made)
    assert await containers.processes(wanted) == ()
    changes = containers.changes()
    async with asyncio.timeout(20):
        id_ = made.container()
        process = made.start(id_)
        await anext(changes)
        (found,) = await told(containers, *wanted, count=1)
        process.kill()
        await anext(changes)
        assert await containers.processes(wanted) == ()
        process.wait()
        made.remove(id_)
        assert not containers.lives(found)


async def test_nothing_is_looked_at_while_nobody_asks(made: Pod) -> None:
    containers = CgroupContainers(look_seconds=0.01)
    made.start(made.container())
    await told(containers, *by_pod(made), count=1)
    assert await containers.processes(()) == ()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await anext(containers.changes())


async def test_a_process_of_nobodys_container_is_none(made: Pod) -> None:
    made.start(made.container())
    stranger = ContainerSelector(container_ids=("0" * 64,), pod_uids=("11111111-2222-3333-4444-555555555555",))
    assert await CgroupContainers().processes([stranger]) == ()


async def test_a_host_that_shows_no_cgroups_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotSupported, match="shows none"):
        await CgroupContainers(cgroups=tmp_path).processes([ContainerSelector(pod_uids=("x",))])


async def test_processes_outside_the_pid_namespace_are_told_as_such(tmp_path: Path) -> None:
    """The kernel shows them as 0 to an agent in a PID namespace of its own."""
    folder = tmp_path / "docker" / ("a" * 64)
    folder.mkdir(parents=True)
    (tmp_path / "cgroup.controllers").touch()
    (folder / "cgroup.procs").write_text("0\n")
    with pytest.raises(NotSupported, match="hostPID"):
        await CgroupContainers(cgroups=tmp_path).processes([ContainerSelector(container_ids=("a" * 64,))])


async def test_a_v1_tree_of_a_hybrid_host_is_looked_at_too(tmp_path: Path) -> None:
    for name in ("unified", "pids"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cgroup.procs").touch()
    (tmp_path / "unified" / "cgroup.controllers").touch()
    folder = tmp_path / "pids/docker" / ("b" * 64)
    folder.mkdir(parents=True)
    (folder / "cgroup.procs").write_text(f"{os.getpid()}\n")
    (found,) = await CgroupContainers(cgroups=tmp_path).processes([ContainerSelector(container_ids=("b" * 64,))])
    assert found.pid == os.getpid()
