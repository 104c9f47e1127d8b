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
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
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


@asynccontextmanager
async def _running(config: Config) -> AsyncIterator[None]:
    """The start-up column."""
    node = config.node_name or socket.gethostname()
    boot_id = _boot_id()
    bus, logs, store = Bus(), LogBook(), SeriesStore()
    page, view = Page(store=store), View()
    refuse_served(config.agent_socket)
    async with AsyncExitStack() as stack:
        state_dir = stack.enter_context(StateDir.opened(config.agent.state_dir))
        door = await stack.enter_async_context(
            http.serving(
                address=config.http_address,
                page=page,
                programs=view.programs,
                ready=view.ready,
                kernel=view.kernel,
                costs=view.costs,
                node=node,
                version=__version__,
            )
        )
        road = await stack.enter_async_context(
            BpfmanRoad.running(
                mode=config.road.mode,
                bpfman_socket=config.road.bpfman_socket,
                loader_socket=config.road.loader_socket,
                state_dir=state_dir.root,
                boot_id=boot_id,
            )
        )
        cache = await stack.enter_async_context(
            CacheManager.running(interfaces=Interfaces(), node_name=node, names_file=config.agent.names, bus=bus)
        )
        source = await stack.enter_async_context(
            OciImages.running(
                root=config.images.cache_dir / "images",
                registries=config.images.registries,
                policy=config.images.image_policy,
                environ=dict(os.environ),
            )
        )
        images = await stack.enter_async_context(ImageManager.running(source=source, publish=bus.publish))
        bytecodes = Bytecodes(objects=state_dir.objects, images=images)
        kernel_half = await stack.enter_async_context(
            KernelHalf.running(
                kernel=road,
                open_map=map_opener(config.road.pin_prefix),
                objects=bytecodes,
                records=state_dir.root / "kernel",
                boot_id=boot_id,
                owner=identity(state_dir.root / "identity"),
                interfaces=Interfaces(),
                containers=CgroupContainers(),
                publish=bus.publish,
                clock=time.time,
                layouts=map_layouts,
            )
        )
        wasm = await stack.enter_async_context(
            WasmRuntime.running(files=bytecodes, cache_dir=config.agent.cache_dir / "code")
        )
        programs = await stack.enter_async_context(
            ProgramManager.running(
                kernel_half=kernel_half,
                runtimes={
                    ProgramType.BUILTIN: BuiltinRuntime(builtins=BUILTINS, parse_config=parse_config),
                    ProgramType.WASM: wasm,
                },
                store=store,
                lookup=cache,
                state_dir=state_dir,
                bus=bus,
                logs=logs,
                clock=time.time,
                images=images,
                check_object=check_object,
            )
        )
        files = ManifestFiles(paths=config.agent.apply, programs=programs)
        await files.look()
        view.begin(
            programs=programs,
            problems=lambda: (
                *cache.problems(),
                *filter(None, (files.problem, _away(road), disk_problem(state_dir.root))),
            ),
        )
        started = time.time()
        server = await stack.enter_async_context(
            grpc.serving(
                socket=config.agent_socket,
                programs=programs,
                registry=RegistryManager(builtins=BUILTINS),
                images=images,
                logs=logs,
                objects=state_dir.objects,
                bus=bus,
                info=lambda: _info(view=view, road=road, door=door, node=node, started=started),
                gate=_gate(config),
            )
        )
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        loops = (
            tasks.create_task(files.run(), name="manifest-files"),
            tasks.create_task(
                _snapshots(
                    store=store,
                    page=page,
                    view=view,
                    bus=bus,
                    door=door,
                    server=server,
                    node=node,
                    road=road,
                    half=kernel_half,
                ),
                name="snapshots",
            ),
        )
        log.info("serving %s and http://%s", config.agent_socket, door.address)
        yield
        for task in loops:
            task.cancel()


async def _snapshots(
    *,
    store: SeriesStore,
    page: Page,
    view: View,
    bus: Bus,
    door: http.HttpDoor,
    server: GrpcServer,
    node: str,
    road: BpfmanRoad,
    half: KernelHalf,
) -> None:
    """Take a snapshot of all series each second, the agent's own first; runs for ever."""
    build = Build(version=__version__, python=platform.python_version(), node=node)
    own = SelfMetrics(store=store, page=page, build=build, call_bounds=BOUNDS)
    while True:
        own.update(
            programs=view.programs(),
            costs=view.costs(),
            kernel=view.kernel(),
            ready=view.ready(),
            queues={"events": bus},
            reconcile=asdict(half.counters),
            road=None if road.status.road == "none" else (road.status.road, road.status.connected),
            road_counts=asdict(road.counters),
            strays=half.strays.counts(),
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


def _away(road: BpfmanRoad) -> str:
    """Say that the kernel daemon which was there, or should be, is not; empty while it answers."""
    status = road.status
    return "" if status.connected or status.road == "none" else f"the kernel daemon is away: {status.problem}"


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


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
