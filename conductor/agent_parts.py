"""The parts of an agent, each made with its slice of the config: what the start-up column in `agent` puts together."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from conductor import __version__
from conductor.api import grpc, http
from conductor.api.counts import BOUNDS
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
from conductor.wasm.module_file import module_needs
from conductor.wasm.runtime import WasmRuntime

if TYPE_CHECKING:
    from conductor.agent_cluster import Membership

__all__ = [
    "FEATURES",
    "Ground",
    "agent_info",
    "cache_manager",
    "check_object",
    "cluster_work",
    "grpc_door",
    "http_door",
    "image_manager",
    "image_source",
    "kernel_half",
    "kernel_road",
    "map_layouts",
    "membership",
    "own_metrics",
    "problems",
    "program_manager",
]

FEATURES = ("builtin", "images", "manifests", "upload", "wasm")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What is there before anything runs, and what all parts stand on."""

    config: Config
    node: str
    boot_id: str = field(default_factory=lambda: Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    bus: Bus = field(default_factory=Bus)
    logs: LogBook = field(default_factory=LogBook)
    store: SeriesStore = field(default_factory=SeriesStore)
    view: View = field(default_factory=View)


def http_door(ground: Ground, page: Page) -> AbstractAsyncContextManager[http.HttpDoor]:
    """Serve metrics, health and the page."""
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


def kernel_road(ground: Ground, state_dir: StateDir) -> AbstractAsyncContextManager[BpfmanRoad]:
    """Find the daemon that may load eBPF."""
    road = ground.config.road
    return BpfmanRoad.running(
        mode=road.mode,
        bpfman_socket=road.bpfman_socket,
        loader_socket=road.loader_socket,
        state_dir=state_dir.root,
        boot_id=ground.boot_id,
    )


@asynccontextmanager
async def membership(ground: Ground) -> AsyncIterator[Membership | None]:
    """What the agent is in a cluster; None where none is configured, and then nothing of it is imported."""
    config = ground.config.cluster
    if not config.joins or (config.kubeconfig is None and not is_in_pod()):
        yield None
        return
    from conductor.agent_cluster import Membership  # noqa: PLC0415 - see above

    async with Membership.found(config, ground.node) as member:
        yield member


@asynccontextmanager
async def cluster_work(
    ground: Ground,
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


def cache_manager(ground: Ground, member: Membership | None) -> AbstractAsyncContextManager[CacheManager]:
    """Know the facts of this machine, and of the cluster where there is one."""
    return CacheManager.running(
        interfaces=Interfaces(),
        node_name=ground.node,
        names_file=ground.config.agent.names,
        bus=ground.bus,
        facts=member.facts if member else None,
    )


def image_manager(
    ground: Ground, source: OciImages, member: Membership | None
) -> AbstractAsyncContextManager[ImageManager]:
    """Hold images, and pull them with a cluster's pull secrets."""
    secrets = member.secrets if member else None
    return ImageManager.running(source=source, publish=ground.bus.publish, secrets=secrets)


def image_source(config: Config) -> AbstractAsyncContextManager[OciImages]:
    """Reach registries and the store of what came from them."""
    images = config.images
    return OciImages.running(
        root=images.cache_dir / "images",
        registries=images.registries,
        policy=images.image_policy,
        environ=dict(os.environ),
    )


def kernel_half(
    ground: Ground, state_dir: StateDir, road: BpfmanRoad, bytecodes: Bytecodes, cache: CacheManager
) -> AbstractAsyncContextManager[KernelHalf]:
    """Own the kernel programs of this node."""
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
        netns=str(ground.config.road.netns) if ground.config.road.netns else None,
        pods=cache.cluster.local if cache.cluster else None,
    )


def program_manager(
    ground: Ground,
    state_dir: StateDir,
    *,
    kernel_half: KernelHalf,
    wasm: WasmRuntime,
    lookup: CacheManager,
    images: ImageManager,
) -> AbstractAsyncContextManager[ProgramManager]:
    """Own all programs, both halves."""
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


def grpc_door(
    ground: Ground,
    state_dir: StateDir,
    programs: ProgramManager,
    images: ImageManager,
    info: Callable[[], AgentInfo],
) -> AbstractAsyncContextManager[GrpcServer]:
    """Serve clients on the socket."""
    return grpc.serving(
        socket=ground.config.agent_socket,
        programs=programs,
        registry=RegistryManager(builtins=BUILTINS, images=images, read=module_needs),
        images=images,
        logs=ground.logs,
        objects=state_dir.objects,
        bus=ground.bus,
        info=info,
        gate=_gate(ground.config),
    )


def own_metrics(ground: Ground, page: Page, member: Membership | None) -> SelfMetrics:
    """Declare what the agent tells of itself."""
    build = Build(version=__version__, python=platform.python_version(), node=ground.node)
    more = member.families if member else ()
    return SelfMetrics(store=ground.store, page=page, build=build, call_bounds=BOUNDS, more=more)


async def map_layouts(path: str) -> Mapping[str, str]:
    """Digest the layouts of an object's maps (`ports.MapLayouts`), off the event loop: objects may be large."""
    return await asyncio.to_thread(lambda: layout_digests(read_object(Path(path)), path))


async def check_object(path: str, name: str) -> None:
    """Look whether a file is an object for the kernel (`managers.admission.ObjectCheck`), off the event loop."""
    await asyncio.to_thread(lambda: checked_object(read_object(Path(path)), name))


def agent_info(
    *, view: View, road: BpfmanRoad, door: http.HttpDoor, node: str, started: float, features: tuple[str, ...]
) -> AgentInfo:
    """Answer `Info`."""
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


def problems(
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
