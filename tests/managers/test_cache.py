"""Shared facts: who answers for an address, and which container a cgroup is."""

from __future__ import annotations

import os
from pathlib import Path

from conductor.managers.bus import Bus
from conductor.managers.cache import CacheManager
from conductor.managers.names_file import address_of
from conductor.model.events import FactsChanged, InterfacesChanged
from conductor.model.facts import Interface, Workload
from tests.fakes.interfaces import FakeInterfaces
from tests.managers.program_world import until

ETH0 = Interface(index=2, name="eth0", up=True, primary=True, addresses=("10.0.0.1", "fe80::1"))
NODE = Workload(kind="Node", name="node-1")
ID = "ab" * 32


async def test_own_addresses_are_the_node(tmp_path: Path) -> None:
    async with CacheManager.running(
        interfaces=FakeInterfaces(ETH0), node_name="node-1", cgroup_mount=tmp_path
    ) as cache:
        mine = [address_of(text) for text in ("10.0.0.1", "fe80::1", "127.0.0.53", "::1")]
        assert cache.workloads(mine) == [NODE] * 4
        assert cache.is_local(mine) == [True] * 4
        assert cache.workloads([address_of("10.0.0.2")]) == [None]
        assert cache.is_local([address_of("10.0.0.2")]) == [False]


async def test_a_names_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    names = tmp_path / "names"
    names.write_text("10.0.0.9 printer\n10.0.0.8 shop/Deployment/cart\nnonsense\n")
    async with CacheManager.running(
        interfaces=FakeInterfaces(), node_name="node-1", names_file=names, cgroup_mount=tmp_path
    ) as cache:
        asked = [address_of("10.0.0.9"), address_of("10.0.0.8")]
        assert cache.workloads(asked) == [
            Workload(kind="Host", name="printer"),
            Workload(namespace="shop", kind="Deployment", name="cart"),
        ]
        assert "line 3" in cache.problems()[0]
        names.write_text("10.0.0.9 plotter\n")
        await until(lambda: cache.workloads(asked) == [Workload(kind="Host", name="plotter"), None])
        assert cache.problems() == ()


async def test_interfaces_that_change_are_told(tmp_path: Path) -> None:
    source, bus = FakeInterfaces(), Bus()
    async with CacheManager.running(interfaces=source, node_name="n", bus=bus, cgroup_mount=tmp_path) as cache:
        with bus.subscribe() as events:
            source.change(ETH0)
            heard = [await anext(aiter(events)) for _ in range(2)]
        assert heard == [InterfacesChanged(), FactsChanged()]
        assert cache.is_local([address_of("10.0.0.1")]) == [True]


async def test_containers_are_found_and_looked_for_when_unknown(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").touch()
    scope = tmp_path / f"kubepods-pod{'0' * 8}_1111_2222_3333_{'4' * 12}.slice" / f"cri-containerd-{ID}.scope"
    async with CacheManager.running(interfaces=FakeInterfaces(), node_name="n", cgroup_mount=tmp_path) as cache:
        scope.mkdir(parents=True)
        cgroup = scope.stat().st_ino
        assert cache.containers([cgroup]) == [None]
        await until(lambda: cache.containers([cgroup]) != [None])
        (container,) = cache.containers([cgroup])
        assert container is not None
        assert (container.id, container.cgroup_id) == (ID, cgroup)
        assert container.pod_uid == f"{'0' * 8}-1111-2222-3333-{'4' * 12}"


async def test_the_machine_is_known(tmp_path: Path) -> None:
    async with CacheManager.running(interfaces=FakeInterfaces(), node_name="n", cgroup_mount=tmp_path) as cache:
        assert cache.host.kernel == os.uname().release
        assert cache.host.cpus >= 1
