"""A Program Manager with real parts around it: kernel half, series store, state directory, threads; a fake kernel."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conductor.builtin import parse_config
from conductor.exporter.page import Page
from conductor.exporter.store import SeriesStore
from conductor.managers.builtin_runtime import BuiltinRuntime
from conductor.managers.bus import Bus
from conductor.managers.bytecodes import Bytecodes
from conductor.managers.files import StateDir
from conductor.managers.image import ImageManager
from conductor.managers.kernel_half import KernelHalf
from conductor.managers.logs import LogBook
from conductor.managers.program import ProgramManager
from conductor.model.events import Event
from conductor.model.grants import Access, MapGrant
from conductor.model.ids import Name
from conductor.model.kernel import KernelFunctionSpec, KernelProgramSpec, KernelType, PathObject, TracepointLink
from conductor.model.program import BuiltinSource, Limits, ProgramType, UserProgramSpec
from conductor.model.status import ProgramStatus, State
from tests.fakes.builtins import FakeBuiltin, Script, counter, plain
from tests.fakes.containers import FakeContainers
from tests.fakes.images import FakeImages
from tests.fakes.interfaces import FakeInterfaces
from tests.fakes.kernel import FakeKernel, FakeObject
from tests.fakes.lookup import FakeLookup
from tests.fakes.maps import FakePins, info
from tests.fakes.runtime import FakeRuntime

TRACE = FakeObject({"on_enter": KernelType.TRACEPOINT}, maps=("counts",))


def user(name: str = "p", builtin: str = "plain", *, maps: tuple[MapGrant, ...] = (), **config: Any) -> UserProgramSpec:
    """Ask for a user program."""
    source = BuiltinSource(name=builtin)
    return UserProgramSpec(name=Name(name), source=source, maps=maps, config=config, limits=Limits(series=100))


def grant(kernel_program: str = "trace", *, name: str = "counts", map_: str = "counts") -> MapGrant:
    """Grant a map to read."""
    return MapGrant(name=name, kernel_program=Name(kernel_program), map=map_, access=Access.READ)


@dataclass
class ProgramWorld:
    """What surrounds a Program Manager, and survives it as disk and kernel survive an agent."""

    folder: Path
    script: Script = field(default_factory=Script)
    kernel: FakeKernel = field(default_factory=lambda: FakeKernel({}))
    events: list[Event] = field(default_factory=list)
    store: SeriesStore = field(default_factory=SeriesStore)
    builtins: list[FakeBuiltin] = field(default_factory=list)
    tick_seconds: float = 60.0
    close_seconds: float = 5.0
    fake_runtime: FakeRuntime | None = None
    """Runs the programs instead of the real one."""
    fake_type: ProgramType = ProgramType.BUILTIN

    def __post_init__(self) -> None:
        self.page = Page(store=self.store)
        self.images = FakeImages(self.folder)
        self.pins = FakePins(self.kernel, {"counts": info("counts")})
        self.builtins = self.builtins or [plain(self.script), counter(self.script)]
        given, self.builtins = self.builtins, []
        for builtin in given:
            self.add(builtin)

    def add(self, builtin: FakeBuiltin) -> None:
        """Have one more built-in, with an object file that the fake daemon knows."""
        self.builtins.append(builtin)
        self.object_path(builtin.name).write_bytes(b"the object of " + builtin.name.encode())
        self.kernel.objects[str(self.object_path(builtin.name))] = TRACE

    def object_path(self, name: str) -> Path:
        return self.folder / f"{name}.bpf.o"

    def state_dir(self) -> StateDir:
        return StateDir(root=self.folder / "state", builtin_path=self.object_path)

    def object_copy(self, content: bytes) -> Path:
        """Where the daemon finds an object of these bytes."""
        return self.folder / "state" / "objects" / f"sha256-{hashlib.sha256(content).hexdigest()}"

    def kernel_program(self, name: str = "trace", content: bytes = b"trace") -> KernelProgramSpec:
        """Ask for a kernel program; its object is known to the fake daemon under the path of its copy."""
        path = self.folder / f"{name}.o"
        path.write_bytes(content)
        link = TracepointLink(name="raw_syscalls/sys_exit")
        function = KernelFunctionSpec(name="on_enter", type=KernelType.TRACEPOINT, links=(link,))
        state = self.state_dir()
        state.prepare()
        copy, _ = state.objects.path_of(PathObject(path=str(path)))
        self.kernel.objects[copy] = TRACE
        return KernelProgramSpec(name=Name(name), bytecode=PathObject(path=str(path)), programs=(function,))

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[ProgramManager]:
        """One agent's life in this world."""
        bus, logs = Bus(), LogBook()
        state_dir = self.state_dir()
        state_dir.prepare()
        self.runtime = BuiltinRuntime(
            builtins=self.builtins,
            parse_config=parse_config,
            tick_seconds=self.tick_seconds,
            close_seconds=self.close_seconds,
        )
        self.bus, self.logs = bus, logs
        async with (
            ImageManager.running(source=self.images, publish=bus.publish) as images,
            KernelHalf.running(
                kernel=self.kernel,
                open_map=self.pins,
                objects=Bytecodes(objects=state_dir.objects, images=images),
                records=self.folder / "links.json",
                boot_id="boot",
                owner="node-1",
                interfaces=FakeInterfaces(),
                containers=FakeContainers(),
                publish=bus.publish,
                clock=time.time,
                jitter=lambda: 0.0,
            ) as half,
            ProgramManager.running(
                kernel_half=half,
                runtimes={ProgramType.BUILTIN: self.runtime}
                | ({self.fake_type: self.fake_runtime} if self.fake_runtime else {}),
                store=self.store,
                lookup=FakeLookup(),
                state_dir=state_dir,
                bus=bus,
                logs=logs,
                clock=time.time,
                images=images,
            ) as programs,
            asyncio.TaskGroup() as group,
        ):
            self.image_manager = images
            listening = group.create_task(self._listen(bus))
            await asyncio.sleep(0)
            yield programs
            listening.cancel()

    async def _listen(self, bus: Bus) -> None:
        with bus.subscribe() as events:
            async for event in events:
                self.events.append(event)

    def value(self, name: str) -> float | None:
        """The counter of a program as the store holds it now."""
        self.page.tick(time.time())
        for line in self.page.render(openmetrics=False, gzip=False, programs=[name]).decode().splitlines():
            if line.startswith("ticks_total{"):
                return float(line.rsplit(" ", 1)[1])
        return None

    def apps(self) -> list[str]:
        """Kernel programs that the fake daemon holds, by our name."""
        return sorted(p.metadata["ebpfconductor.io/app"] for p in self.kernel.programs.values())


async def until(claim: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until a claim is true; a test that waits in vain fails here."""
    async with asyncio.timeout(seconds):
        while not claim():  # noqa: ASYNC110 - claims are about the outside, which sets no event
            await asyncio.sleep(0.005)


async def until_state(programs: ProgramManager, name: str, state: State, reason: str | None = None) -> ProgramStatus:
    """Wait until a program is in a state."""

    def there() -> bool:
        condition = programs.get(Name(name)).condition
        return condition.state is state and reason in (None, condition.reason)

    try:
        await until(there)
    except TimeoutError:
        raise AssertionError(f"{name} is {programs.get(Name(name)).condition}") from None
    return programs.get(Name(name))
