"""A kernel half over the fake daemon, on virtual time, for the tests of this folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conductor.errors import MapMissing, ObjectUnreadable
from conductor.managers.cluster_pods import LocalPods
from conductor.managers.kernel_half import KernelHalf, KernelWish
from conductor.model.events import Event
from conductor.model.facts import Interface
from conductor.model.grants import Access
from conductor.model.ids import Name
from conductor.model.kernel import (
    Bytecode,
    ContainerSelector,
    Direction,
    InterfaceSelector,
    KernelFunctionSpec,
    KernelProgramSpec,
    KernelType,
    PathObject,
    TcxLink,
    TracepointLink,
    XdpLink,
)
from conductor.model.program import Source
from conductor.model.status import State
from conductor.ports import MapHandle
from tests.fakes import virtual_time
from tests.fakes.containers import FakeContainers
from tests.fakes.interfaces import FakeInterfaces
from tests.fakes.kernel import FakeKernel, FakeObject

BOOT = "11111111-2222-3333-4444-555555555555"
ENTER, EXIT = TracepointLink(name="raw_syscalls/sys_enter"), TracepointLink(name="raw_syscalls/sys_exit")
LO = Interface(index=1, name="lo", up=True)
ETH0 = Interface(index=2, name="eth0", up=True, primary=True)
TRACE = {"on_enter": KernelType.TRACEPOINT, "on_exit": KernelType.TRACEPOINT}
OBJECTS = {
    "/o/trace.o": FakeObject(TRACE, variables={"rate": 4}),
    "/o/trace2.o": FakeObject(TRACE),
    "/o/more.o": FakeObject(TRACE, maps=("counts", "extra")),
    "/o/other.o": FakeObject(TRACE, layouts={"counts": "other"}),
    "/o/net.o": FakeObject({"count": KernelType.TCX}),
    "/o/xdp.o": FakeObject({"drop": KernelType.XDP}),
    "/o/xdp2.o": FakeObject({"drop": KernelType.XDP}),
    "/o/bad.o": FakeObject(TRACE, rejected=("on_enter",)),
}


def trace(
    name: str = "a",
    *links: TracepointLink,
    path: str = "/o/trace.o",
    owner: str | None = None,
    generation: int = 1,
    labels: Mapping[str, str] | None = None,
) -> KernelWish:
    """Wish for `on_enter` on these tracepoints (default: one)."""
    function = KernelFunctionSpec(name="on_enter", type=KernelType.TRACEPOINT, links=links or (ENTER,))
    spec = KernelProgramSpec(
        name=Name(name),
        bytecode=PathObject(path=path),
        programs=(function,),
        map_owner=None if owner is None else Name(owner),
        metadata=labels or {},
    )
    return KernelWish(spec=spec, source=Source.GRPC, generation=generation)


def net(name: str, selector: InterfaceSelector, priority: int = 1000) -> KernelWish:
    """Wish for `count` on interfaces."""
    link = TcxLink(interfaces=selector, direction=Direction.INGRESS, priority=priority)
    function = KernelFunctionSpec(name="count", type=KernelType.TCX, links=(link,))
    spec = KernelProgramSpec(name=Name(name), bytecode=PathObject(path="/o/net.o"), programs=(function,))
    return KernelWish(spec=spec, source=Source.GRPC)


def podded(name: str, *pods: str, priority: int = 1000, **selector: Any) -> KernelWish:
    """Wish for `count` on eth0 of pods, by UID or as a selector says."""
    link = TcxLink(
        interfaces=InterfaceSelector(names=("eth0",)),
        direction=Direction.INGRESS,
        priority=priority,
        containers=ContainerSelector(pod_uids=pods, **selector),
    )
    function = KernelFunctionSpec(name="count", type=KernelType.TCX, links=(link,))
    spec = KernelProgramSpec(name=Name(name), bytecode=PathObject(path="/o/net.o"), programs=(function,))
    return KernelWish(spec=spec, source=Source.GRPC)


def xdp(name: str, path: str, generation: int = 1) -> KernelWish:
    """Wish for `drop` on eth0."""
    link = XdpLink(interfaces=InterfaceSelector(names=("eth0",)))
    function = KernelFunctionSpec(name="drop", type=KernelType.XDP, links=(link,))
    spec = KernelProgramSpec(name=Name(name), bytecode=PathObject(path=path), programs=(function,))
    return KernelWish(spec=spec, source=Source.GRPC, generation=generation)


def wishes(*each: KernelWish) -> dict[Name, KernelWish]:
    """Key wishes by name."""
    return {wish.spec.name: wish for wish in each}


class Files:
    """Objects by path; the path is the digest."""

    def __init__(self) -> None:
        self.unreadable: set[str] = set()

    def path_of(self, bytecode: Bytecode) -> tuple[str, str]:
        assert isinstance(bytecode, PathObject)
        if bytecode.path in self.unreadable:
            raise ObjectUnreadable(f"{bytecode.path}: no such file")
        return bytecode.path, f"sha256:{bytecode.path}"


@dataclass
class World:
    """What surrounds a kernel half; survives it, as disk and kernel survive an agent."""

    folder: Path
    kernel: FakeKernel = field(default_factory=lambda: FakeKernel(OBJECTS))
    files: Files = field(default_factory=Files)
    interfaces: FakeInterfaces = field(default_factory=lambda: FakeInterfaces(LO, ETH0))
    containers: FakeContainers = field(default_factory=FakeContainers)
    pods: LocalPods | None = None
    """Of a cluster; None without one."""
    events: list[Event] = field(default_factory=list)
    boot_id: str = BOOT
    pins: dict[str, MapHandle] = field(default_factory=dict)
    knows_layouts: bool = True

    async def publish(self, event: Event) -> None:
        self.events.append(event)

    def open_map(self, pin: Path, access: Access) -> MapHandle:
        if str(pin) not in self.pins:
            raise MapMissing(f"{pin} ({access.word})")
        return self.pins[str(pin)]

    async def layouts(self, path: str) -> Mapping[str, str]:
        if not self.knows_layouts:
            raise ObjectUnreadable(f"{path} has no BTF")
        found = self.kernel.objects[path]
        return {name: found.layouts.get(name, "usual") for name in found.maps}

    @asynccontextmanager
    async def half(self) -> AsyncIterator[KernelHalf]:
        """An agent's kernel half in this world."""
        async with KernelHalf.running(
            kernel=self.kernel,
            open_map=self.open_map,
            objects=self.files,
            records=self.folder / "links.json",
            boot_id=self.boot_id,
            owner="node-1",
            interfaces=self.interfaces,
            containers=self.containers,
            publish=self.publish,
            clock=lambda: asyncio.get_running_loop().time(),
            layouts=self.layouts,
            pods=self.pods,
            jitter=lambda: 0.0,
        ) as half:
            yield half

    def attached(self) -> set[tuple[str, object]]:
        """What the kernel runs: app and place (interface or tracepoint) of every link."""
        apps = {p.id: p.metadata["ebpfconductor.io/app"] for p in self.kernel.programs.values()}
        return {
            (apps[link.program], link.interface or getattr(link.link, "name", ""))
            for id_, link in self.kernel.links.items()
            if id_ not in self.kernel.ghosts
        }


def tell(folder: Path, story: Callable[[World, KernelHalf], Awaitable[None]]) -> World:
    """Tell a story of one agent in a fresh world; answer the world it leaves."""

    async def whole() -> World:
        world = World(folder)
        async with world.half() as half:
            await story(world, half)
        return world

    return virtual_time.run(whole())


def state(half: KernelHalf, name: str = "a") -> tuple[State, str]:
    condition = next(s.condition for s in half.observed() if s.spec.name == name)
    return condition.state, condition.reason


def message(half: KernelHalf, name: str = "a") -> str:
    return next(s.condition.message for s in half.observed() if s.spec.name == name)
