"""The composition root: everything that lives in the agent's process, in the order in which it starts.

Stopping is the same column from the bottom up. Nothing here decides: parts are made, joined and told to run.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from conductor import agent_parts as parts
from conductor import frugal
from conductor.agent_snapshots import Snapshots
from conductor.api.listener import refuse_served
from conductor.api.manifest_files import ManifestFiles
from conductor.config import Config
from conductor.errors import ConductorError
from conductor.exporter.page import Page
from conductor.managers.bytecodes import Bytecodes
from conductor.managers.files import StateDir
from conductor.stopping import give_up, stop_signals
from conductor.wasm.runtime import WasmRuntime

__all__ = ["run"]

STOP_SECONDS = 20.0
"""From the first signal to the end of the process, whatever a part does."""
SETTLE_SECONDS = 1.0
"""From the start of everything until its left-overs are collected: readiness does not wait for that."""

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
    ground = parts.Ground(config=config, node=config.node_name or socket.gethostname())
    page = Page(store=ground.store)
    refuse_served(config.agent_socket)
    async with AsyncExitStack() as stack:
        state_dir = stack.enter_context(StateDir.opened(config.agent.state_dir))
        door = await stack.enter_async_context(parts.http_door(ground, page))
        road = await stack.enter_async_context(parts.kernel_road(ground, state_dir))
        member = await stack.enter_async_context(parts.membership(ground))
        cache = await stack.enter_async_context(parts.cache_manager(ground, member))
        source = await stack.enter_async_context(parts.image_source(config))
        images = await stack.enter_async_context(parts.image_manager(ground, source, member))
        bytecodes = Bytecodes(objects=state_dir.objects, images=images)
        kernel_half = await stack.enter_async_context(parts.kernel_half(ground, state_dir, road, bytecodes, cache))
        wasm = await stack.enter_async_context(
            WasmRuntime.running(files=bytecodes, cache_dir=config.agent.cache_dir / "code")
        )
        programs = await stack.enter_async_context(
            parts.program_manager(ground, state_dir, kernel_half=kernel_half, wasm=wasm, lookup=cache, images=images)
        )
        files = ManifestFiles(paths=config.agent.apply, programs=programs)
        await files.look()
        await stack.enter_async_context(
            parts.cluster_work(ground, member, programs=programs, images=images, road=road, state_dir=state_dir)
        )
        ground.view.begin(programs=programs, problems=partial(parts.problems, cache, files, road, state_dir, member))
        features = (*parts.FEATURES, "cluster") if member else parts.FEATURES
        info = partial(
            parts.agent_info,
            view=ground.view,
            road=road,
            door=door,
            node=ground.node,
            started=time.time(),
            features=features,
        )
        server = await stack.enter_async_context(parts.grpc_door(ground, state_dir, programs, images, info))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        snapshots = Snapshots(
            page=page,
            own=parts.own_metrics(ground, page, member),
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


def _leaves(group: BaseExceptionGroup[ConductorError]) -> list[ConductorError]:
    found: list[ConductorError] = []
    for error in group.exceptions:
        found.extend(_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    return found
