"""Leases of the fake in virtual time, and work that notes its terms."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from conductor.kube.fence import Fence
from conductor.kube.lease import Lease, identity
from conductor.model.cluster import Key
from tests.fakes import virtual_time
from tests.fakes.cluster_connection import FakeConnection, FakeServer

__all__ = ["KEY", "SECONDS", "Log", "a_lease", "told"]

KEY = Key("default", "leader")
SECONDS = 15


def told(story: Callable[[FakeServer], Awaitable[None]]) -> None:
    async def whole() -> None:
        await story(FakeServer())

    virtual_time.run(whole())


def a_lease(connection: FakeConnection, skew: float = 0.0) -> Lease:
    return Lease(
        leases=connection.cluster,
        key=KEY,
        identity=identity(connection.who),
        seconds=SECONDS,
        wall=lambda: datetime.now(UTC) + timedelta(seconds=skew),
    )


class Log:
    """Terms of all contenders: who, from when, to when."""

    def __init__(self) -> None:
        self.working: str | None = None
        self.terms: list[tuple[str, float]] = []

    def work(self, who: str, cleanup: float = 0.5) -> Callable[[Fence], Awaitable[None]]:
        async def work(fence: Fence) -> None:
            assert self.working is None, f"{who} begins while {self.working} works"
            fence.check()
            self.working = who
            self.terms.append((who, asyncio.get_running_loop().time()))
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(cleanup)
                self.working = None

        return work
