"""An HTTP door over plain values, on a port of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiohttp import ClientSession, ClientTimeout

from conductor.api.http import Bounds, HttpDoor, serving
from conductor.exporter.page import Page
from conductor.exporter.store import SeriesStore
from conductor.model.ids import Name
from conductor.model.metrics import MetricKind, MetricSpec
from conductor.model.program import BuiltinSource, Source, UserProgramSpec
from conductor.model.status import Condition, Cost, KernelStatus, ProgramStatus, State


@dataclass
class World:
    """What the door shows; tests change it."""

    programs: list[ProgramStatus] = field(default_factory=list)
    kernel: list[KernelStatus] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)
    ready: tuple[bool, tuple[str, ...]] = (True, ())
    store: SeriesStore = field(default_factory=SeriesStore)

    def __post_init__(self) -> None:
        self.page = Page(store=self.store)

    def fill(self, series: int) -> None:
        """Put series of one program on the page."""
        sink = self.store.sink("p", series)
        spec = MetricSpec(name="hits_total", kind=MetricKind.COUNTER, help="Hits.", labels=("a",))
        sink.set(sink.intern(sink.declare(spec), [(f"{i}",) for i in range(series)]), np.arange(float(series)))
        self.page.tick(1.0)


def program(name: str, state: State = State.RUNNING, **condition: Any) -> ProgramStatus:
    spec = UserProgramSpec(name=Name(name), source=BuiltinSource(name="service_map"), config={"interval": 5})
    return ProgramStatus(spec=spec, source=Source.GRPC, condition=Condition(state=state, **condition))


@asynccontextmanager
async def served(world: World, bounds: Bounds) -> AsyncIterator[tuple[HttpDoor, ClientSession]]:
    """Serve a world and give a client whose paths begin with `/`."""
    async with serving(
        address="127.0.0.1:0",
        page=world.page,
        programs=lambda: world.programs,
        ready=lambda: world.ready,
        kernel=lambda: world.kernel,
        costs=lambda: world.costs,
        node="n1",
        version="0.1.0",
        bounds=bounds,
    ) as door:
        client = ClientSession(f"http://{door.address}", timeout=ClientTimeout(20), auto_decompress=False)
        async with client:
            yield door, client


def run(world: World, test: Callable[[HttpDoor, ClientSession], Awaitable[None]], **bounds: Any) -> None:
    """Run a test against a served world."""

    async def main() -> None:
        async with asyncio.timeout(30), served(world, Bounds(**bounds)) as (door, client):
            await test(door, client)

    asyncio.run(main())
