"""One machine's worth for the kernel half: a real loader, our road to it, records on disk, compiled objects."""

from __future__ import annotations

import asyncio
import hashlib
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from conductor.agent_parts import map_layouts
from conductor.bpf.maps import open_map
from conductor.bpfman.road import BpfmanRoad
from conductor.managers.kernel_half import KernelHalf, KernelWish
from conductor.model.events import Event
from conductor.model.grants import Access
from conductor.model.ids import Name
from conductor.model.kernel import (
    Bytecode,
    KernelFunctionSpec,
    KernelProgramSpec,
    KernelType,
    PathObject,
    TracepointLink,
)
from conductor.model.program import Source
from conductor.model.status import State
from tests.fakes.containers import FakeContainers
from tests.fakes.interfaces import FakeInterfaces
from tests.loader.running import Daemon

__all__ = ["CALLS", "RUNNING", "Node", "run", "state", "until"]

CALLS = Name("calls")
RUNNING = (State.RUNNING, "")


class Files:
    """Objects by path."""

    def path_of(self, bytecode: Bytecode) -> tuple[str, str]:
        assert isinstance(bytecode, PathObject)
        return bytecode.path, hashlib.sha256(Path(bytecode.path).read_bytes()).hexdigest()


@dataclass
class Node:
    """What outlives an agent."""

    daemon: Daemon
    folder: Path
    compiled: Callable[[str], Path]

    def wish(self, only_pid: int = 0, generation: int = 1) -> KernelWish:
        """Count system calls at both tracepoints; another `only_pid` needs another load."""
        programs = tuple(
            KernelFunctionSpec(
                name=name, type=KernelType.TRACEPOINT, links=(TracepointLink(name=f"raw_syscalls/{at}"),)
            )
            for name, at in (("on_enter", "sys_enter"), ("on_exit", "sys_exit"))
        )
        spec = KernelProgramSpec(
            name=CALLS,
            bytecode=PathObject(path=str(self.compiled("counters"))),
            programs=programs,
            global_data={"only_pid": struct.pack("I", only_pid)},
        )
        return KernelWish(spec=spec, source=Source.GRPC, generation=generation)

    @asynccontextmanager
    async def half(self, *, resync: float = 30.0) -> AsyncIterator[KernelHalf]:
        """An agent's kernel half."""

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
                containers=FakeContainers(),
                publish=ignore,
                clock=time.time,
                layouts=map_layouts,
                resync=resync,
            ) as half,
        ):
            yield half

    def links(self) -> set[str]:
        return {path.name for path in (self.daemon.bpffs / "links").iterdir()}

    def maps(self) -> set[int]:
        """Kernel ids of all maps that our pins hold."""
        found = set()
        for pin in (self.daemon.bpffs / "maps").glob("*/*"):
            with open_map(pin, Access.READ) as handle:
                found.add(int(handle.info.id))
        return found

    def programs(self) -> set[str]:
        return {path.name for path in (self.daemon.bpffs / "programs").iterdir()}


def run(story: Awaitable[None], *, seconds: float = 40) -> None:
    """Tell a story on a real loop."""

    async def whole() -> None:
        async with asyncio.timeout(seconds):
            await story

    asyncio.run(whole())


def state(half: KernelHalf) -> tuple[State, str]:
    """State and reason of the one program."""
    (status,) = half.observed()
    return status.condition.state, status.condition.reason


async def until(claim: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(20):
        while not claim():  # noqa: ASYNC110 -- the kernel has no event for it
            await asyncio.sleep(0.05)
