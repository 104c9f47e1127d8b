"""The service `agent.v1.agent`: all handlers, three lines each; who may call and what errors mean is decided around them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from typing_extensions import override

from conductor.api.calls.images import ImageCalls
from conductor.api.calls.kernel import KernelCalls
from conductor.api.calls.manifests import ManifestCalls
from conductor.api.calls.programs import ProgramCalls
from conductor.api.calls.streams import StreamCalls
from conductor.api.health import HealthService
from conductor.api.parts import Images, Logs, Objects, Programs, Registry
from conductor.api.peer import Gate
from conductor.api.server import PATIENCE_SECONDS, STOP_SECONDS, GrpcServer
from conductor.api.watch import Watchers
from conductor.managers.bus import Bus
from conductor.model.agent import AgentInfo

__all__ = ["AgentService", "serving"]


class AgentService(ProgramCalls, KernelCalls, ManifestCalls, ImageCalls, StreamCalls):
    """Answer all RPCs of `agent.proto` from the managers."""

    def __init__(
        self,
        *,
        programs: Programs,
        registry: Registry,
        images: Images,
        logs: Logs,
        objects: Objects,
        watchers: Watchers,
        info: Callable[[], AgentInfo],
    ) -> None:
        self._programs, self._registry, self._logs = programs, registry, logs
        self._objects, self._watchers, self._info = objects, watchers, info
        self._images = images

    @override
    async def _call_rpc_handler_server_stream(self, handler: Callable[[Any], Any], stream: Any, request: Any) -> None:
        """Send what a handler yields; closed at once when the caller goes, not when memory is collected."""
        async with aclosing(handler(request)) as answers:
            async for answer in answers:
                await stream.send_message(answer)


@asynccontextmanager
async def serving(
    *,
    socket: Path,
    programs: Programs,
    registry: Registry,
    images: Images,
    logs: Logs,
    objects: Objects,
    bus: Bus,
    info: Callable[[], AgentInfo],
    gate: Gate,
    stop_seconds: float = STOP_SECONDS,
    patience: float = PATIENCE_SECONDS,
) -> AsyncIterator[GrpcServer]:
    """Serve `agent.v1.agent` and health on a Unix socket until the scope ends.

    Raises `AddressInUse`, `NotAllowed`, `StateUnwritable`.
    """
    async with Watchers.running(bus=bus, get=programs.get, observed=programs.observed) as watchers:
        service = AgentService(
            programs=programs,
            registry=registry,
            images=images,
            logs=logs,
            objects=objects,
            watchers=watchers,
            info=info,
        )
        services = (service, HealthService(ready=programs.ready))
        async with GrpcServer.serving(
            path=socket, services=services, gate=gate, stop_seconds=stop_seconds, patience=patience
        ) as server:
            yield server
