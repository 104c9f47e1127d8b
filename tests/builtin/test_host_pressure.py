"""host_pressure: real files of this host, and a tree of known ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from conductor.builtin import parse_config
from conductor.builtin.host_pressure import HostPressure, Running, memory, stalls
from conductor.ports import Program
from tests.builtin.world import FakeState, World

PSI = "some avg10=1.50 avg60=0.25 avg300=0.00 total=1500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=250\n"
MEMINFO = "MemTotal:       2048 kB\nMemFree:         512 kB\nMemAvailable:   1024 kB\nHugePages_Total:   3\n"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(state=FakeState(tmp_path / "state"))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    write(root / "proc/pressure/memory", PSI)
    write(root / "proc/loadavg", "0.50 1.25 2.00 3/400 12345\n")
    write(root / "proc/meminfo", MEMINFO)
    write(root / "sys/fs/cgroup/unified/cgroup.controllers", "")
    for name in ("a.slice", "b.slice", "a.slice/deep.service"):
        write(root / "sys/fs/cgroup/unified" / name / "cpu.pressure", PSI)
    return root


def run(world: World, root: Path, **config: int) -> Program:
    settings = parse_config(HostPressure, config)
    program = Running(context=world.context(), config=settings, root=root)
    program.tick()
    return program


def test_stalls(world: World, root: Path) -> None:
    run(world, root)
    memory_some = {"resource": "memory", "severity": "some"}
    assert world.values("host_pressure_stalled_seconds_total", **memory_some) == [1.5]
    assert world.values("host_pressure_stalled_seconds_total", resource="memory", severity="full") == [0.00025]
    assert world.values("host_pressure_stalled_ratio", window="10s", **memory_some) == [0.015]
    assert world.values("host_pressure_stalled_seconds_total", resource="cpu") == []


def test_load_and_memory(world: World, root: Path) -> None:
    run(world, root)
    assert [world.values("host_pressure_load", window=w)[0] for w in ("1m", "5m", "15m")] == [0.5, 1.25, 2.0]
    assert world.values("host_pressure_memory_bytes", state="total") == [2048 * 1024]
    assert world.values("host_pressure_memory_bytes", state="available") == [1024 * 1024]
    assert len(world.values("host_pressure_memory_bytes")) == 3


def test_cgroups_nearest_the_root_come_first(world: World, root: Path) -> None:
    name, some = "host_pressure_cgroup_stalled_seconds_total", {"resource": "cpu", "severity": "some"}
    run(world, root, cgroups=2)
    assert world.values(name, cgroup="/a.slice", **some) == [1.5]
    assert world.values(name, cgroup="/b.slice", **some) == [1.5]
    assert world.values(name, cgroup="/a.slice/deep.service", **some) == []
    assert world.values("host_pressure_cgroups_left_out") == [1]
    run(world, root)
    assert world.values(name, cgroup="/a.slice/deep.service", **some) == [1.5]
    assert world.values("host_pressure_cgroups_left_out") == [0]


def test_cgroups_can_be_left_alone(world: World, root: Path) -> None:
    run(world, root, cgroups=0)
    assert world.values("host_pressure_cgroup_stalled_seconds_total") == []


def test_a_host_that_tells_no_pressure_still_tells_the_rest(world: World, root: Path) -> None:
    (root / "proc/pressure/memory").unlink()
    program = run(world, root)
    program.tick()
    assert world.values("host_pressure_load", window="1m") == [0.5]
    assert len(world.log) == 1
    assert "psi=1" in world.log[0][1]


def test_this_host(world: World) -> None:
    program = world.open(HostPressure)
    program.tick()
    first = world.samples()
    program.tick()
    second = world.samples()
    assert len(world.values("host_pressure_load")) == 3
    total = world.values("host_pressure_memory_bytes", state="total")[0]
    assert 0 < world.values("host_pressure_memory_bytes", state="available")[0] < total
    assert all(second[key] >= value for key, value in first.items() if key[0].endswith("_total") and key in second)
    assert program.interval == 5
    program.close()


def test_files_are_read_as_the_kernel_writes_them() -> None:
    assert stalls(PSI)["some"] == {"total": 1.5, "10s": 0.015, "60s": 0.0025, "300s": 0.0}
    assert stalls("") == {}
    assert memory("") == {}
