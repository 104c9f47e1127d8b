"""The kernel half over our real loader: kills, drift and updates, as the kernel itself sees them."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import struct
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from conductor.bpf.maps import open_map
from conductor.bpfman.road import BpfmanRoad
from conductor.managers.kernel_half import KernelHalf, KernelWish
from conductor.model.events import Event
from conductor.model.grants import Access, MapGrant
from conductor.model.ids import Name
from conductor.model.kernel import (
    Bytecode,
    InterfaceSelector,
    KernelFunctionSpec,
    KernelProgramSpec,
    KernelType,
    PathObject,
    TracepointLink,
    XdpLink,
)
from conductor.model.program import Source
from conductor.model.status import State
from tests.fakes.interfaces import FakeInterfaces
from tests.loader.running import Daemon

pytestmark = pytest.mark.kernel
RUNNING = (State.RUNNING, "")


class Files:
    def path_of(self, bytecode: Bytecode) -> tuple[str, str]:
        assert isinstance(bytecode, PathObject)
        return bytecode.path, hashlib.sha256(Path(bytecode.path).read_bytes()).hexdigest()


@dataclass
class Node:
    """One machine's worth: a loader, a place for records, objects."""

    daemon: Daemon
    folder: Path
    compiled: Callable[[str], Path]

    def wish(self, rate: int = 0) -> KernelWish:
        """Both counters on this process's system calls; `rate` is a global that forces another load."""
        programs = tuple(
            KernelFunctionSpec(
                name=name, type=KernelType.TRACEPOINT, links=(TracepointLink(name=f"raw_syscalls/{at}"),)
            )
            for name, at in (("on_enter", "sys_enter"), ("on_exit", "sys_exit"))
        )
        spec = KernelProgramSpec(
            name=Name("calls"),
            bytecode=PathObject(path=str(self.compiled("counters"))),
            programs=programs,
            global_data={"only_pid": struct.pack("I", rate)},
        )
        return KernelWish(spec=spec, source=Source.GRPC, generation=rate + 1)

    @asynccontextmanager
    async def half(self, *, resync: float = 30.0) -> AsyncIterator[KernelHalf]:
        async def ignore(_: Event) -> None:
            return

        async with (
            BpfmanRoad.running(
                mode="embedded",
                bpfman_socket=self.folder / "bpfman.sock",
                loader_socket=self.daemon.socket,
                state_dir=self.folder,
                boot_id="this-boot",
            ) as road,
            KernelHalf.running(
                kernel=road,
                open_map=open_map,
                objects=Files(),
                records=self.folder / "links.json",
                boot_id="this-boot",
                owner="node-1",
                interfaces=FakeInterfaces(),
                publish=ignore,
                clock=time.time,
                resync=resync,
            ) as half,
        ):
            yield half

    def links(self) -> set[str]:
        return {path.name for path in (self.daemon.bpffs / "links").iterdir()}

    def programs(self) -> set[str]:
        return {path.name for path in (self.daemon.bpffs / "programs").iterdir()}


@pytest.fixture
def node(tmp_path: Path, bpffs: Path, compiled: Callable[[str], Path]) -> Iterator[Node]:
    daemon = Daemon(folder=tmp_path, bpffs=bpffs)
    daemon.start()
    yield Node(daemon, tmp_path, compiled)
    if daemon.process is not None:
        daemon.end(signal.SIGKILL)


def run(story: Awaitable[None]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(40):
            await story

    asyncio.run(whole())


def state(half: KernelHalf) -> tuple[State, str]:
    (status,) = half.observed()
    return status.condition.state, status.condition.reason


async def until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not claim():  # noqa: ASYNC110 -- the kernel has no event for it
            await asyncio.sleep(0.05)


def counted(half: KernelHalf) -> int:
    """Calls of this process that the kernel program has counted."""
    grant = MapGrant(name="m", kernel_program=Name("calls"), map="by_pid", access=Access.READ)
    with half.open_map(grant) as handle:
        value = handle.lookup(struct.pack("I", os.getpid()))
    return 0 if value is None else int(struct.unpack("QQ", value)[0])


def test_wish_counts_real_calls_through_its_pin(node: Node) -> None:
    async def story() -> None:
        async with node.half() as half:
            await half.converge({Name("calls"): node.wish()})
            assert state(half) == RUNNING
            before = counted(half)
            for _ in range(1000):
                os.getppid()
            assert counted(half) >= before + 2000
            costs = await half.run_costs()
            assert costs is not None
            assert costs[Name("calls")][1] > 2000
            await half.converge({})
        assert (node.links(), node.programs()) == (set(), set())

    run(story())


def test_killed_loader_and_next_agent_find_the_same_programs(node: Node) -> None:
    async def story() -> None:
        async with node.half() as half:
            await half.converge({Name("calls"): node.wish()})
            before = (node.links(), node.programs(), counted(half))
            node.daemon.restart(signal.SIGKILL)
            await half.converge({Name("calls"): node.wish()})
            assert (node.links(), node.programs()) == before[:2]
        async with node.half() as half:
            await half.converge({Name("calls"): node.wish()})
            assert state(half) == RUNNING
            assert (node.links(), node.programs()) == before[:2]
            assert counted(half) >= before[2]
            assert half.counters.loads == half.counters.attaches == 0

    run(story())


def test_links_cut_from_outside_come_back(node: Node) -> None:
    async def story() -> None:
        async with node.half(resync=0.2) as half:
            await half.converge({Name("calls"): node.wish()})
            for link in (node.daemon.bpffs / "links").iterdir():
                link.unlink()
            await until(lambda: len(node.links()) == 2)
            assert len(node.programs()) == 2

    run(story())


def test_loader_that_lost_everything_is_given_it_again(node: Node) -> None:
    async def story() -> None:
        async with node.half() as half:
            await half.converge({Name("calls"): node.wish()})
            before = node.programs()
            node.daemon.end(signal.SIGKILL)
            for record in node.daemon.records:
                record.unlink()
            node.daemon.start()
            await until(lambda: len(node.links()) == 2 and not node.programs() & before)
            await until(lambda: state(half) == RUNNING)

    run(story())


def test_update_of_globals_leaves_exactly_the_new_version(node: Node) -> None:
    async def story() -> None:
        async with node.half() as half:
            await half.converge({Name("calls"): node.wish()})
            before = node.programs()
            await half.converge({Name("calls"): node.wish(rate=os.getpid())})
            assert state(half) == RUNNING
            assert (len(node.links()), len(node.programs())) == (2, 2)
            assert not node.programs() & before
            os.getppid()
            assert counted(half) > 0

    run(story())


def test_program_the_verifier_refuses_says_why(node: Node) -> None:
    async def story() -> None:
        bad = KernelFunctionSpec(name="bad", type=KernelType.TRACEPOINT)
        wish = node.wish()
        rejected = PathObject(path=str(node.compiled("rejected")))
        spec = replace(wish.spec, bytecode=rejected, programs=(bad,), global_data={})
        async with node.half() as half:
            await half.converge({Name("calls"): replace(wish, spec=spec)})
            assert state(half) == (State.FAILED, "VerifierRejected")
            log = await half.log(Name("calls"))
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
        spec = KernelProgramSpec(name=Name("calls"), bytecode=PathObject(path=str(copy)), programs=(program,))
        return KernelWish(spec=spec, source=Source.GRPC, generation=generation)

    async def story() -> None:
        async with node.half() as half:
            await half.converge({Name("calls"): wish(1)})
            assert state(half) == RUNNING, half.observed()[0].condition.message
            before = node.programs()
            await half.converge({Name("calls"): wish(2)})
            assert state(half) == RUNNING, half.observed()[0].condition.message
            assert (len(node.links()), len(node.programs())) == (1, 1)
            assert not node.programs() & before
            assert "xdp" in _lo(Path(inside).name)

    run(story())


def _lo(namespace: str) -> str:
    command = ["ip", "-n", namespace, "link", "show", "lo"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
