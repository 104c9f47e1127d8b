"""An agent's gRPC door over the in-memory Program Manager, on a socket of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from conductor.api.grpc import serving
from conductor.api.peer import Gate
from conductor.api.server import GrpcServer
from conductor.client import Agent
from conductor.managers.bus import Bus
from conductor.managers.image import ImageManager
from conductor.managers.logs import LogBook
from conductor.managers.objects import ObjectStore
from conductor.model.agent import AgentInfo, Available
from conductor.model.grants import MapNeed, MapType
from conductor.model.metrics import MetricKind, MetricSpec
from conductor.model.program import ProgramType
from tests.fakes.images import FakeImages
from tests.fakes.programs import FakePrograms

AVAILABLE = Available(
    name="service_map",
    type=ProgramType.BUILTIN,
    description="Who talks to whom, by TCP.",
    needs=(MapNeed(name="flows", type=MapType.HASH),),
    metrics=(MetricSpec(name="service_map_sent_bytes_total", kind=MetricKind.COUNTER, help="Bytes sent."),),
    config_schema={"type": "object", "properties": {"interval": {"type": "number"}}},
)
INFO = AgentInfo(version="0.1.0", node="n1", road="embedded", road_connected=True, ready=True, started=5.5, pid=42)


class Registry:
    async def available(self) -> tuple[Available, ...]:
        return (AVAILABLE,)


@dataclass(frozen=True)
class House:
    """A served agent and everything behind its door."""

    socket: Path
    server: GrpcServer
    programs: FakePrograms
    logs: LogBook
    objects: ObjectStore
    images: FakeImages


@asynccontextmanager
async def house(
    gate: Gate | None = None,
    *,
    socket: Path | None = None,
    stop_seconds: float = 2,
    patience: float = 5,
) -> AsyncIterator[House]:
    """Serve an agent until the scope ends."""
    with TemporaryDirectory(prefix="api-") as root:
        os.chmod(root, 0o755)  # noqa: PTH101 -- other users must reach the socket
        store = ObjectStore(root=Path(root) / "objects", object_bytes=8 << 20)
        store.prepare()
        bus, logs, path = Bus(), LogBook(), socket or Path(root) / "agent.sock"
        source = FakeImages(Path(root))
        async with (
            ImageManager.running(source=source, publish=bus.publish) as images,
            FakePrograms.running(bus=bus) as programs,
            serving(
                socket=path,
                programs=programs,
                registry=Registry(),
                images=images,
                logs=logs,
                objects=store,
                bus=bus,
                info=lambda: INFO,
                gate=gate or Gate(owner=os.getuid()),
                stop_seconds=stop_seconds,
                patience=patience,
            ) as server,
        ):
            yield House(path, server, programs, logs, store, source)


def tell(story: Callable[[House, Agent], Awaitable[None]], **kwargs: Any) -> None:
    """Tell one story of an agent and a client."""

    async def whole() -> None:
        async with asyncio.timeout(30), house(**kwargs) as here, Agent.connect(here.socket, timeout=10) as agent:
            await story(here, agent)

    asyncio.run(whole())
