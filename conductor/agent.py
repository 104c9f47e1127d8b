"""The composition root: everything that lives in the agent's process, in the order in which it starts.

Stopping is the same column from the bottom up. Nothing here decides: parts are made, joined and told to run.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from conductor import __version__, frugal
from conductor.api import grpc, http
from conductor.api.counts import BOUNDS
from conductor.api.listener import refuse_served
from conductor.api.manifest_files import ManifestFiles
from conductor.api.peer import Gate
from conductor.api.server import GrpcServer
from conductor.api.view import View
from conductor.bpf.btf import layout_digests
from conductor.bpf.object_file import checked_object, read_object
from conductor.bpf.prefix import map_opener
from conductor.bpfman.road import BpfmanRoad
from conductor.builtin import BUILTINS, parse_config
from conductor.config import Config
from conductor.errors import ConductorError
from conductor.exporter.metrics import Build, SelfMetrics
from conductor.exporter.page import Page
from conductor.exporter.store import SeriesStore
from conductor.managers.builtin_runtime import BuiltinRuntime
from conductor.managers.bus import Bus
from conductor.managers.bytecodes import Bytecodes
from conductor.managers.cache import CacheManager
from conductor.managers.disk import disk_problem
from conductor.managers.files import StateDir
from conductor.managers.image import ImageManager
from conductor.managers.kernel_containers import CgroupContainers
from conductor.managers.kernel_half import KernelHalf
from conductor.managers.kernel_identity import identity
from conductor.managers.logs import LogBook
from conductor.managers.program import ProgramManager
from conductor.managers.registry import RegistryManager
from conductor.model.agent import AgentInfo
from conductor.model.program import ProgramType
from conductor.net.interfaces import Interfaces
from conductor.oci.service import OciImages
from conductor.privilege import group_id
from conductor.stopping import give_up, stop_signals
from conductor.wasm.runtime import WasmRuntime

__all__ = ["run"]

STOP_SECONDS = 20.0
"""From the first signal to the end of the process, whatever a part does."""
SETTLE_SECONDS = 1.0
"""From the start of everything until its left-overs are collected: readiness does not wait for that."""
TICK_SECONDS = 1.0
"""Between snapshots of the metrics page."""

log = logging.getLogger(__name__)


def run(config: Config) -> int:
    """Run the agent until it is told to stop; answer the exit code. Its rights are gone already."""
    code = 0
    try:
        asyncio.run(_life(config))
    except* ConductorError as group:
        code = 1
        for error in _leaves(group):
            log.error("%s", error)  # noqa: TRY400 - one sentence is what helps; the trace is ours alone
    return code


async def _life(config: Config) -> None:
    with stop_signals() as stopping:
        async with _running(config):
            asyncio.get_running_loop().call_later(SETTLE_SECONDS, frugal.settle)
            await stopping.wait()
            log.info("stopping; kernel programs stay attached")
            late = f"not everything ended within {STOP_SECONDS:.0f} s"
            asyncio.get_running_loop().call_later(STOP_SECONDS, give_up, late)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    """What is there before anything runs, and what all parts stand on."""

    config: Config
    node: str
    boot_id: str = field(default_factory=lambda: Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    bus: Bus = field(default_factory=Bus)
    logs: LogBook = field(default_factory=LogBook)
    store: SeriesStore = field(default_factory=SeriesStore)
    view: View = field(default_factory=View)


@asynccontextmanager
async def _running(config: Config) -> AsyncIterator[None]:
    """The start-up column."""
    ground = _Ground(config=config, node=config.node_name or socket.gethostname())
    page = Page(store=ground.store)
    refuse_served(config.agent_socket)
    async with AsyncExitStack() as stack:
        state_dir = stack.enter_context(StateDir.opened(config.agent.state_dir))
        door = await stack.enter_async_context(_http_door(ground, page))
        road = await stack.enter_async_context(_road(ground, state_dir))
        cache = await stack.enter_async_context(_cache(ground))
        source = await stack.enter_async_context(_image_source(config))
        images = await stack.enter_async_context(ImageManager.running(source=source, publish=ground.bus.publish))
        bytecodes = Bytecodes(objects=state_dir.objects, images=images)
        kernel_half = await stack.enter_async_context(_kernel_half(ground, state_dir, road, bytecodes))
        wasm = await stack.enter_async_context(
            WasmRuntime.running(files=bytecodes, cache_dir=config.agent.cache_dir / "code")
        )
        programs = await stack.enter_async_context(
            _programs(ground, state_dir, kernel_half=kernel_half, wasm=wasm, lookup=cache, images=images)
        )
        files = ManifestFiles(paths=config.agent.apply, programs=programs)
        await files.look()
        ground.view.begin(programs=programs, problems=partial(_problems, cache, files, road, state_dir))
        info = partial(_info, view=ground.view, road=road, door=door, node=ground.node, started=time.time())
        server = await stack.enter_async_context(_grpc_door(ground, state_dir, programs, images, info))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        snapshots = _snapshots(ground, page=page, door=door, server=server, road=road, half=kernel_half, images=images)
        loops = (
            tasks.create_task(files.run(), name="manifest-files"),
            tasks.create_task(snapshots, name="snapshots"),
        )
        log.info("serving %s and http://%s", config.agent_socket, door.address)
        yield
        for task in loops:
            task.cancel()


# --- the parts, each with its slice of the config ---------------------------------------------------------------------


def _http_door(ground: _Ground, page: Page) -> AbstractAsyncContextManager[http.HttpDoor]:
    view = ground.view
    return http.serving(
        address=ground.config.http_address,
        page=page,
        programs=view.programs,
        ready=view.ready,
        kernel=view.kernel,
        costs=view.costs,
        node=ground.node,
        version=__version__,
    )


def _road(ground: _Ground, state_dir: StateDir) -> AbstractAsyncContextManager[BpfmanRoad]:
    road = ground.config.road
    return BpfmanRoad.running(
        mode=road.mode,
        bpfman_socket=road.bpfman_socket,
        loader_socket=road.loader_socket,
        state_dir=state_dir.root,
        boot_id=ground.boot_id,
    )


def _cache(ground: _Ground) -> AbstractAsyncContextManager[CacheManager]:
    names = ground.config.agent.names
    return CacheManager.running(interfaces=Interfaces(), node_name=ground.node, names_file=names, bus=ground.bus)


def _image_source(config: Config) -> AbstractAsyncContextManager[OciImages]:
    images = config.images
    return OciImages.running(
        root=images.cache_dir / "images",
        registries=images.registries,
        policy=images.image_policy,
        environ=dict(os.environ),
    )


def _kernel_half(
    ground: _Ground, state_dir: StateDir, road: BpfmanRoad, bytecodes: Bytecodes
) -> AbstractAsyncContextManager[KernelHalf]:
    return KernelHalf.running(
        kernel=road,
        open_map=map_opener(ground.config.road.pin_prefix),
        objects=bytecodes,
        records=state_dir.root / "kernel",
        boot_id=ground.boot_id,
        owner=identity(state_dir.root / "identity"),
        interfaces=Interfaces(),
        containers=CgroupContainers(),
        publish=ground.bus.publish,
        clock=time.time,
        layouts=map_layouts,
    )


def _programs(
    ground: _Ground,
    state_dir: StateDir,
    *,
    kernel_half: KernelHalf,
    wasm: WasmRuntime,
    lookup: CacheManager,
    images: ImageManager,
) -> AbstractAsyncContextManager[ProgramManager]:
    builtins = BuiltinRuntime(builtins=BUILTINS, parse_config=parse_config)
    return ProgramManager.running(
        kernel_half=kernel_half,
        runtimes={ProgramType.BUILTIN: builtins, ProgramType.WASM: wasm},
        store=ground.store,
        lookup=lookup,
        state_dir=state_dir,
        bus=ground.bus,
        logs=ground.logs,
        clock=time.time,
        images=images,
        check_object=check_object,
    )


def _grpc_door(
    ground: _Ground,
    state_dir: StateDir,
    programs: ProgramManager,
    images: ImageManager,
    info: Callable[[], AgentInfo],
) -> AbstractAsyncContextManager[GrpcServer]:
    return grpc.serving(
        socket=ground.config.agent_socket,
        programs=programs,
        registry=RegistryManager(builtins=BUILTINS),
        images=images,
        logs=ground.logs,
        objects=state_dir.objects,
        bus=ground.bus,
        info=info,
        gate=_gate(ground.config),
    )


async def _snapshots(
    ground: _Ground,
    *,
    page: Page,
    door: http.HttpDoor,
    server: GrpcServer,
    road: BpfmanRoad,
    half: KernelHalf,
    images: ImageManager,
) -> None:
    """Take a snapshot of all series each second, the agent's own first; runs for ever."""
    view, build = ground.view, Build(version=__version__, python=platform.python_version(), node=ground.node)
    own = SelfMetrics(store=ground.store, page=page, build=build, call_bounds=BOUNDS)
    while True:
        own.update(
            programs=view.programs(),
            costs=view.costs(),
            kernel=view.kernel(),
            ready=view.ready(),
            queues={"events": ground.bus},
            reconcile=asdict(half.counters),
            road=None if road.status.road == "none" else (road.status.road, road.status.connected),
            road_counts=asdict(road.counters),
            strays=half.strays.counts(),
            images=images.counts(),
            calls=server.counts,
            requests=door.requests,
            loop_lag=door.loop_lag,
        )
        await asyncio.to_thread(page.tick, time.monotonic())
        await asyncio.sleep(TICK_SECONDS)


async def map_layouts(path: str) -> Mapping[str, str]:
    """Digest the layouts of an object's maps (`ports.MapLayouts`), off the event loop: objects may be large."""
    return await asyncio.to_thread(lambda: layout_digests(read_object(Path(path)), path))


async def check_object(path: str, name: str) -> None:
    """Look whether a file is an object for the kernel (`managers.admission.ObjectCheck`), off the event loop."""
    await asyncio.to_thread(lambda: checked_object(read_object(Path(path)), name))


def _info(*, view: View, road: BpfmanRoad, door: http.HttpDoor, node: str, started: float) -> AgentInfo:
    ready, reasons = view.ready()
    status = road.status
    return AgentInfo(
        version=__version__,
        node=node,
        road=status.road,
        flavour=status.flavour,
        road_version=status.version,
        road_connected=status.connected,
        road_problem=status.problem,
        features=("builtin", "manifests", "upload", "wasm"),
        http_address=door.address,
        started=started,
        ready=ready,
        reasons=reasons,
        pid=os.getpid(),
    )


def _problems(cache: CacheManager, files: ManifestFiles, road: BpfmanRoad, state_dir: StateDir) -> tuple[str, ...]:
    """Say what is degraded beside the programs."""
    return (*cache.problems(), *filter(None, (files.problem, _away(road), disk_problem(state_dir.root))))


def _away(road: BpfmanRoad) -> str:
    """Say that the kernel daemon which was there, or should be, is not; empty while it answers."""
    status = road.status
    return "" if status.connected or status.road == "none" else f"the kernel daemon is away: {status.problem}"


def _gate(config: Config) -> Gate:
    read, change = config.agent.read_group, config.agent.change_group
    return Gate(
        owner=os.geteuid(),
        read_group=group_id(read, "--read-group") if read else None,
        change_group=group_id(change, "--change-group") if change else None,
    )


def _leaves(group: BaseExceptionGroup[ConductorError]) -> list[ConductorError]:
    found: list[ConductorError] = []
    for error in group.exceptions:
        found.extend(_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    return found
