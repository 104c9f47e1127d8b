"""`grpc.health.v1.Health`: who answers at all serves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from typing_extensions import override

from conductor.errors import NotFound
from conductor.proto.grpc.health import v1 as health

__all__ = ["HealthService"]


class HealthService(health.HealthBase):
    """`grpc.health.v1.Health`: who answers at all serves."""

    def __init__(self, *, services: tuple[str, ...], stopping: asyncio.Event) -> None:
        self._services, self._stopping = frozenset({"", *services}), stopping

    @override
    async def check(self, health_check_request: health.HealthCheckRequest) -> health.HealthCheckResponse:
        """Tell the state of a service. Raises `NotFound`."""
        if health_check_request.service not in self._services:
            raise NotFound(f"no service {health_check_request.service[:80]!r} here")
        return self._now()

    @override
    async def watch(self, health_check_request: health.HealthCheckRequest) -> AsyncIterator[health.HealthCheckResponse]:
        """Tell the state now and when the daemon stops."""
        if health_check_request.service not in self._services:
            yield health.HealthCheckResponse(status=health.HealthCheckResponseServingStatus(3))
            return
        yield self._now()
        await self._stopping.wait()
        yield self._now()

    def _now(self) -> health.HealthCheckResponse:
        return health.HealthCheckResponse(status=health.HealthCheckResponseServingStatus(1 + self._stopping.is_set()))
