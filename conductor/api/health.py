"""The standard health service: SERVING while the agent is ready."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from typing_extensions import override

from conductor.errors import NotFound
from conductor.proto.grpc.health import v1 as pb

__all__ = ["HealthService"]

_SERVICES = ("", "agent.v1.agent", "grpc.health.v1.Health")
_LOOK_SECONDS = 1.0
_SERVING, _NOT_SERVING, _UNKNOWN = (pb.HealthCheckResponseServingStatus(number) for number in (1, 2, 3))


class HealthService(pb.HealthBase):
    """Answer probers, for the whole agent and for its service by name."""

    def __init__(self, *, ready: Callable[[], tuple[bool, tuple[str, ...]]]) -> None:
        self._ready = ready

    @override
    async def check(self, health_check_request: pb.HealthCheckRequest) -> pb.HealthCheckResponse:
        if health_check_request.service not in _SERVICES:
            raise NotFound(f"{health_check_request.service[:80]!r} is not served here: agent.v1.agent is")
        return pb.HealthCheckResponse(status=self._status())

    @override
    async def watch(self, health_check_request: pb.HealthCheckRequest) -> AsyncIterator[pb.HealthCheckResponse]:
        known = health_check_request.service in _SERVICES
        told = None
        while True:
            status = self._status() if known else _UNKNOWN
            if status != told:
                told = status
                yield pb.HealthCheckResponse(status=status)
            await asyncio.sleep(_LOOK_SECONDS)

    def _status(self) -> pb.HealthCheckResponseServingStatus:
        return _SERVING if self._ready()[0] else _NOT_SERVING
