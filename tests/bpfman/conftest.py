"""Roads to the kernel for the contract suite: the fake itself, and our client before each daemon's manners."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from conductor.bpfman.choice import Mode
from conductor.bpfman.road import BpfmanRoad
from conductor.model.kernel import KernelFunctionSpec, KernelType, TracepointLink
from conductor.ports import Kernel, KernelLoad
from tests.fakes.bpfman_daemon import Manners, serving
from tests.fakes.kernel import FakeKernel, FakeObject
from tests.loader.running import Daemon

BOOT = "11111111-2222-3333-4444-555555555555"
OWNER = "ebpfconductor.io/owner"


@dataclass(frozen=True)
class World:
    """A kernel to be put to the test, and what its object file holds: two programs on two tracepoints, one map."""

    kernel: Kernel
    path: str
    rejected_path: str
    first: KernelFunctionSpec
    second: KernelFunctionSpec
    rejected: KernelFunctionSpec
    first_link: TracepointLink
    second_link: TracepointLink
    map: str
    variable: str
    other_path: str
    """An object with a map of the same name and another layout, and one program `other`."""
    other: KernelFunctionSpec
    owner: str = "contract"

    def load(self, *functions: KernelFunctionSpec) -> KernelLoad:
        """A Load of these functions (default: both), findable by its owner."""
        return KernelLoad(
            path=self.path,
            programs=functions or (self.first, self.second),
            metadata={OWNER: self.owner, "ebpfconductor.io/app": "contract"},
        )


OBJECT = "/fake/pair.bpf.o"
REJECTED = "/fake/rejected.bpf.o"
OTHER = "/fake/other.bpf.o"
FIRST = KernelFunctionSpec(name="on_enter", type=KernelType.TRACEPOINT)
SECOND = KernelFunctionSpec(name="on_exit", type=KernelType.TRACEPOINT)


def fake_kernel() -> FakeKernel:
    """A fake daemon with the two objects of `World`."""
    programs = {"on_enter": KernelType.TRACEPOINT, "on_exit": KernelType.TRACEPOINT}
    return FakeKernel(
        {
            OBJECT: FakeObject(programs, variables={"rate": 4}),
            REJECTED: FakeObject(programs, rejected=("on_enter",)),
            OTHER: FakeObject(programs, layouts={"counts": "smaller"}),
        }
    )


def fake_world(kernel: Kernel) -> World:
    """The world of the fake objects, reached through `kernel`."""
    return World(
        kernel=kernel,
        path=OBJECT,
        rejected_path=REJECTED,
        first=FIRST,
        second=SECOND,
        rejected=FIRST,
        first_link=TracepointLink(name="raw_syscalls/sys_enter"),
        second_link=TracepointLink(name="raw_syscalls/sys_exit"),
        map="counts",
        variable="rate",
        other_path=OTHER,
        other=FIRST,
    )


@asynccontextmanager
async def road(folder: Path, mode: Mode = "embedded") -> AsyncIterator[BpfmanRoad]:
    """Our client with both sockets and its state in `folder`."""
    async with BpfmanRoad.running(
        mode=mode,
        bpfman_socket=folder / "bpfman.sock",
        loader_socket=folder / "loader.sock",
        state_dir=folder,
        boot_id=BOOT,
    ) as found:
        yield found


WorldMaker = Callable[[], AbstractAsyncContextManager[World]]


@asynccontextmanager
async def _through(folder: Path, manners: Manners) -> AsyncIterator[World]:
    mode: Mode = "embedded" if manners is Manners.LOADER else "bpfman"
    socket = folder / ("loader.sock" if mode == "embedded" else "bpfman.sock")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(serving(socket, fake_kernel(), manners))
        yield fake_world(await stack.enter_async_context(road(folder, mode)))


@asynccontextmanager
async def _bare() -> AsyncIterator[World]:
    yield fake_world(fake_kernel())


@asynccontextmanager
async def _real(daemon: Daemon, pair: Path, rejected: Path, other: Path) -> AsyncIterator[World]:
    async with road(daemon.folder) as kernel:
        yield World(
            kernel=kernel,
            path=str(pair),
            rejected_path=str(rejected),
            first=FIRST,
            second=SECOND,
            rejected=KernelFunctionSpec(name="bad", type=KernelType.TRACEPOINT),
            first_link=TracepointLink(name="raw_syscalls/sys_enter"),
            second_link=TracepointLink(name="raw_syscalls/sys_exit"),
            map="by_pid",
            variable="only_pid",
            other_path=str(other),
            other=KernelFunctionSpec(name="first", type=KernelType.TRACEPOINT),
        )


@pytest.fixture
def daemon(tmp_path: Path, bpffs: Path) -> Iterator[Daemon]:
    """A real `conductor loader`, ended with all that it loaded."""
    daemon = Daemon(folder=tmp_path, bpffs=bpffs)
    daemon.start(unload_on_stop=True)
    yield daemon
    if daemon.process is not None:
        daemon.end(signal.SIGTERM)


@pytest.fixture(
    params=["fake", Manners.LOADER, Manners.RUST, Manners.GO, pytest.param("real loader", marks=pytest.mark.kernel)],
    ids=str,
)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> WorldMaker:
    """Every kernel that the contract holds for."""
    kind = request.param
    if kind == "fake":
        return _bare
    if isinstance(kind, Manners):
        return lambda: _through(tmp_path, kind)
    compiled = request.getfixturevalue("compiled")
    daemon = request.getfixturevalue("daemon")
    return lambda: _real(daemon, compiled("counters"), compiled("rejected"), compiled("shared"))
