"""The kernel half over our real loader: kills, drift and updates, as the kernel itself sees them."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from conductor.managers.kernel_half import KernelHalf, KernelWish
from conductor.model.grants import Access, MapGrant
from conductor.model.kernel import (
    InterfaceSelector,
    KernelFunctionSpec,
    KernelProgramSpec,
    KernelType,
    PathObject,
    XdpLink,
)
from conductor.model.program import Source
from conductor.model.status import State
from tests.loader.running import Daemon
from tests.managers.kernel_node import CALLS, RUNNING, Node, run, state, until

pytestmark = pytest.mark.kernel


@pytest.fixture
def node(tmp_path: Path, bpffs: Path, compiled: Callable[[str], Path]) -> Iterator[Node]:
    daemon = Daemon(folder=tmp_path, bpffs=bpffs)
    daemon.start()
    yield Node(daemon, tmp_path, compiled)
    if daemon.process is not None:
        daemon.end(signal.SIGKILL)


def counted(half: KernelHalf, pid: int) -> int:
    """Calls of a process that the kernel program has counted."""
    grant = MapGrant(name="m", kernel_program=CALLS, map="by_pid", access=Access.READ)
    with half.open_map(grant) as handle:
        value = handle.lookup(struct.pack("I", pid))
    return 0 if value is None else int(struct.unpack("QQ", value)[0])


def test_wish_counts_real_calls_through_its_pin(node: Node, kernel_pid: int) -> None:
    async def story() -> None:
        async with node.half() as half:
            await half.converge({CALLS: node.wish()})
            assert state(half) == RUNNING
            before = counted(half, kernel_pid)
            for _ in range(1000):
                os.getppid()
            assert counted(half, kernel_pid) >= before + 2000
            costs = await half.run_costs()
            assert costs is not None
            assert costs[CALLS][1] > 2000
            await half.converge({})
        assert (node.links(), node.programs()) == (set(), set())

    run(story())


def test_killed_loader_and_next_agent_find_the_same_programs(node: Node, kernel_pid: int) -> None:
    async def story() -> None:
        async with node.half() as half:
            await half.converge({CALLS: node.wish()})
            before = (node.links(), node.programs(), counted(half, kernel_pid))
            node.daemon.restart(signal.SIGKILL)
            await half.converge({CALLS: node.wish()})
            assert (node.links(), node.programs()) == before[:2]
        async with node.half() as half:
            await half.converge({CALLS: node.wish()})
            assert state(half) == RUNNING
            assert (node.links(), node.programs()) == before[:2]
            assert counted(half, kernel_pid) >= before[2]
            assert half.counters.loads == half.counters.attaches == 0

    run(story())


def test_links_cut_from_outside_come_back(node: Node) -> None:
    async def story() -> None:
        async with node.half(resync=0.2) as half:
            await half.converge({CALLS: node.wish()})
            for link in (node.daemon.bpffs / "links").iterdir():
                link.unlink()
            await until(lambda: len(node.links()) == 2)
            assert len(node.programs()) == 2

    run(story())


def test_loader_that_lost_everything_is_given_it_again(node: Node) -> None:
    async def story() -> None:
        async with node.half() as half:
            await half.converge({CALLS: node.wish()})
            before = node.programs()
            node.daemon.end(signal.SIGKILL)
            for record in node.daemon.records:
                record.unlink()
            node.daemon.start()
            await until(lambda: len(node.links()) == 2 and not node.programs() & before)
            await until(lambda: state(half) == RUNNING)

    run(story())


def test_update_of_globals_leaves_exactly_the_new_version_with_all_counts(node: Node, kernel_pid: int) -> None:
    async def story() -> None:
        async with node.half() as half:
            await half.converge({CALLS: node.wish()})
            for _ in range(1000):
                os.getppid()
            before, counts, maps = node.programs(), counted(half, kernel_pid), node.maps()
            await half.converge({CALLS: node.wish(only_pid=1, generation=2)})
            assert state(half) == RUNNING
            assert (len(node.links()), len(node.programs())) == (2, 2)
            assert not node.programs() & before
            assert node.maps() == maps
            assert counted(half, kernel_pid) >= counts >= 2000
            await half.converge({CALLS: node.wish(only_pid=kernel_pid, generation=3)})
            still = counted(half, kernel_pid)
            os.getppid()
            assert counted(half, kernel_pid) > still >= counts

    run(story())


def test_update_to_another_layout_begins_anew_and_says_so(node: Node) -> None:
    async def story() -> None:
        async with node.half() as half:
            await half.converge({CALLS: node.wish()})
            maps = node.maps()
            wish = node.wish(generation=2)
            program = KernelFunctionSpec(name="first", type=KernelType.TRACEPOINT)
            other = PathObject(path=str(node.compiled("shared")))
            spec = replace(wish.spec, bytecode=other, programs=(program,), global_data={})
            await half.converge({CALLS: replace(wish, spec=spec)})
            assert state(half) == (State.RUNNING, "MapsRenewed")
            assert "map by_pid has another layout now" in half.observed()[0].condition.message
            assert not node.maps() & maps

    run(story())


def test_program_the_verifier_refuses_says_why(node: Node) -> None:
    async def story() -> None:
        bad = KernelFunctionSpec(name="bad", type=KernelType.TRACEPOINT)
        wish = node.wish()
        rejected = PathObject(path=str(node.compiled("rejected")))
        spec = replace(wish.spec, bytecode=rejected, programs=(bad,), global_data={})
        async with node.half() as half:
            await half.converge({CALLS: replace(wish, spec=spec)})
            assert state(half) == (State.FAILED, "VerifierRejected")
            log = await half.log(CALLS)
            assert any("invalid mem access" in line for line in log)
            assert len(log) > 3

    run(story())


def test_update_takes_over_the_only_xdp_place(node: Node, netns: Callable[[], str]) -> None:
    inside = f"/run/netns/{netns()}"

    def wish(generation: int) -> KernelWish:
        link = XdpLink(interfaces=InterfaceSelector(names=("lo",)), netns=inside)
        program = KernelFunctionSpec(name="on_xdp", type=KernelType.XDP, links=(link,))
        name = f"pass-{generation}"
        source = node.compiled("hooks")
        copy = node.folder / f"{name}.o"
        copy.write_bytes(source.read_bytes() + b"\0" * generation)
        spec = KernelProgramSpec(name=CALLS, bytecode=PathObject(path=str(copy)), programs=(program,))
        return KernelWish(spec=spec, source=Source.GRPC, generation=generation)

    async def story() -> None:
        async with node.half() as half:
            await half.converge({CALLS: wish(1)})
            assert state(half) == RUNNING, half.observed()[0].condition.message
            before = node.programs()
            await half.converge({CALLS: wish(2)})
            assert state(half) == RUNNING, half.observed()[0].condition.message
            assert (len(node.links()), len(node.programs())) == (1, 1)
            assert not node.programs() & before
            assert "xdp" in _lo(Path(inside).name)

    run(story())


def _lo(namespace: str) -> str:
    command = ["ip", "-n", namespace, "link", "show", "lo"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
