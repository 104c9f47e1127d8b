"""RPCs about kernel programs."""

from __future__ import annotations

from typing_extensions import override

from conductor.api import wire
from conductor.api.parts import Programs
from conductor.model.ids import parse_name
from conductor.proto.agent import v1 as pb

__all__ = ["KernelCalls"]


class KernelCalls(pb.AgentBase):
    """ListKernel, GetKernel, KernelLog."""

    _programs: Programs

    @override
    async def list_kernel(self, list_kernel_request: pb.ListKernelRequest) -> pb.ListKernelResponse:
        return pb.ListKernelResponse(programs=[wire.kernel_to_wire(status) for status in self._programs.kernel()])

    @override
    async def get_kernel(self, name_request: pb.NameRequest) -> pb.KernelResponse:
        return pb.KernelResponse(info=wire.kernel_to_wire(self._programs.kernel_get(parse_name(name_request.name))))

    @override
    async def kernel_log(self, name_request: pb.NameRequest) -> pb.KernelLogResponse:
        return pb.KernelLogResponse(lines=[*await self._programs.kernel_log(parse_name(name_request.name))])
