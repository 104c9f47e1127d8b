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
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from conductor import __version__, frugal
from conductor.agent_snapshots import Snapshots
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
from conductor.kube.pod import is_in_pod
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
from conductor.model.program import ProgramType, Source
from conductor.net.interfaces import Interfaces
from conductor.oci.service import OciImages
from conductor.privilege import group_id
from conductor.stopping import give_up, stop_signals
from conductor.wasm.runtime import WasmRuntime

if TYPE_CHECKING:
    from conductor.agent_cluster import Membership

__all__ = ["run"]

STOP_SECONDS = 20.0
"""From the first signal to the end of the process, whatever a part does."""
SETTLE_SECONDS = 1.0
"""From the start of everything until its left-overs are collected: readiness does not wait for that."""
FEATURES = ("builtin", "manifests", "upload", "wasm")

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
        member = await stack.enter_async_context(_membership(ground))
        cache = await stack.enter_async_context(_cache(ground, member))
        source = await stack.enter_async_context(_image_source(config))
        images = await stack.enter_async_context(_images(ground, source, member))
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
        await stack.enter_async_context(
            _cluster_work(ground, member, programs=programs, images=images, road=road, state_dir=state_dir)
        )
        ground.view.begin(programs=programs, problems=partial(_problems, cache, files, road, state_dir, member))
        features = (*FEATURES, "cluster") if member else FEATURES
        info = partial(
            _info, view=ground.view, road=road, door=door, node=ground.node, started=time.time(), features=features
        )
        server = await stack.enter_async_context(_grpc_door(ground, state_dir, programs, images, info))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        snapshots = Snapshots(
            page=page,
            own=_own_metrics(ground, page, member),
            view=ground.view,
            bus=ground.bus,
            door=door,
            server=server,
            road=road,
            half=kernel_half,
            images=images,
            figures=partial(member.figures, cache) if member else dict,
        )
        loops = (
            tasks.create_task(files.run(), name="manifest-files"),
            tasks.create_task(snapshots.run(), name="snapshots"),
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


@asynccontextmanager
async def _membership(ground: _Ground) -> AsyncIterator[Membership | None]:
    """What the agent is in a cluster; None where none is configured, and then nothing of it is imported."""
    config = ground.config.cluster
    if config.kubeconfig is None and not is_in_pod():
        yield None
        return
    from conductor.agent_cluster import Membership  # noqa: PLC0415 - see above

    async with Membership.found(config, ground.node) as member:
        yield member


@asynccontextmanager
async def _cluster_work(
    ground: _Ground,
    member: Membership | None,
    *,
    programs: ProgramManager,
    images: ImageManager,
    road: BpfmanRoad,
    state_dir: StateDir,
) -> AsyncIterator[None]:
    """Follow the cluster; what one asked for earlier goes where there is none any more: nobody else could withdraw it."""
    if member is None:
        if programs.wishes(Source.CLUSTER):
            log.warning("no cluster is configured any more: what it asked for is withdrawn")
            await programs.set_source(Source.CLUSTER, ())
        yield
        return
    folder = state_dir.root / "cluster"
    async with member.working(
        programs=programs, images=images, bus=ground.bus, folder=folder, road=road, view=ground.view
    ):
        yield


def _cache(ground: _Ground, member: Membership | None) -> AbstractAsyncContextManager[CacheManager]:
    return CacheManager.running(
        interfaces=Interfaces(),
        node_name=ground.node,
        names_file=ground.config.agent.names,
        bus=ground.bus,
        facts=member.facts if member else None,
    )


def _images(ground: _Ground, source: OciImages, member: Membership | None) -> AbstractAsyncContextManager[ImageManager]:
    secrets = member.secrets if member else None
    return ImageManager.running(source=source, publish=ground.bus.publish, secrets=secrets)


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


def _own_metrics(ground: _Ground, page: Page, member: Membership | None) -> SelfMetrics:
    build = Build(version=__version__, python=platform.python_version(), node=ground.node)
    more = member.families if member else ()
    return SelfMetrics(store=ground.store, page=page, build=build, call_bounds=BOUNDS, more=more)


async def map_layouts(path: str) -> Mapping[str, str]:
    """Digest the layouts of an object's maps (`ports.MapLayouts`), off the event loop: objects may be large."""
    return await asyncio.to_thread(lambda: layout_digests(read_object(Path(path)), path))


async def check_object(path: str, name: str) -> None:
    """Look whether a file is an object for the kernel (`managers.admission.ObjectCheck`), off the event loop."""
    await asyncio.to_thread(lambda: checked_object(read_object(Path(path)), name))


def _info(
    *, view: View, road: BpfmanRoad, door: http.HttpDoor, node: str, started: float, features: tuple[str, ...]
) -> AgentInfo:
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
        features=features,
        http_address=door.address,
        started=started,
        ready=ready,
        reasons=reasons,
        pid=os.getpid(),
    )


def _problems(
    cache: CacheManager, files: ManifestFiles, road: BpfmanRoad, state_dir: StateDir, member: Membership | None
) -> tuple[str, ...]:
    """Say what is degraded beside the programs."""
    told = filter(None, (files.problem, _away(road), disk_problem(state_dir.root)))
    return (*(member.problems() if member else ()), *cache.problems(), *told)


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
