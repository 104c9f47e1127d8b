"""RPCs about user programs."""

from __future__ import annotations

from collections.abc import Callable
from time import time

from typing_extensions import override

from conductor.api import wire
from conductor.api.parts import Images, Programs, Registry
from conductor.api.watch import Selection
from conductor.model.agent import AgentInfo
from conductor.model.ids import parse_name
from conductor.proto.agent import v1 as pb

__all__ = ["ProgramCalls"]


class ProgramCalls(pb.AgentBase):
    """Load, Unload, List, Get, Update, Start, Stop, Restart, Usage, Info, ListAvailable."""

    _programs: Programs
    _registry: Registry
    _images: Images
    _info: Callable[[], AgentInfo]

    @override
    async def load(self, load_request: pb.LoadRequest) -> pb.LoadResponse:
        spec = wire.spec_from_wire(load_request)
        self._lend(load_request)
        status = await self._programs.load(spec)
        return pb.LoadResponse(info=wire.status_to_wire(status))

    @override
    async def unload(self, unload_request: pb.UnloadRequest) -> pb.UnloadResponse:
        await self._programs.unload(parse_name(unload_request.name))
        return pb.UnloadResponse()

    @override
    async def list(self, list_request: pb.ListRequest) -> pb.ListResponse:
        kind, labels = wire.filter_from_wire(list_request)
        selection = Selection(metadata=labels)
        chosen = (s for s in self._programs.observed() if kind in (None, s.spec.type) and selection.has(s))
        return pb.ListResponse(results=[pb.ListResult(info=wire.status_to_wire(status)) for status in chosen])

    @override
    async def get(self, get_request: pb.GetRequest) -> pb.GetResponse:
        return pb.GetResponse(info=wire.status_to_wire(self._programs.get(parse_name(get_request.name))))

    @override
    async def update(self, update_request: pb.UpdateRequest) -> pb.UpdateResponse:
        spec = wire.spec_from_wire(update_request.program)
        self._lend(update_request.program)
        overlap, rollback = wire.strategy_from_wire(update_request.strategy)
        status = await self._programs.update(spec, overlap=overlap, rollback=rollback)
        return pb.UpdateResponse(info=wire.status_to_wire(status))

    @override
    async def start(self, name_request: pb.NameRequest) -> pb.ProgramResponse:
        status = await self._programs.start(parse_name(name_request.name))
        return pb.ProgramResponse(info=wire.status_to_wire(status))

    @override
    async def stop(self, name_request: pb.NameRequest) -> pb.ProgramResponse:
        status = await self._programs.stop(parse_name(name_request.name))
        return pb.ProgramResponse(info=wire.status_to_wire(status))

    @override
    async def restart(self, name_request: pb.NameRequest) -> pb.ProgramResponse:
        status = await self._programs.restart(parse_name(name_request.name))
        return pb.ProgramResponse(info=wire.status_to_wire(status))

    @override
    async def usage(self, usage_request: pb.UsageRequest) -> pb.UsageResponse:
        name, states = usage_request.name, {s.name: s.state for s in self._programs.observed()}
        if name:
            states = {parse_name(name): self._programs.get(parse_name(name)).state}
        return wire.usage_to_wire(self._programs.costs(), states, time())

    @override
    async def info(self, info_request: pb.InfoRequest) -> pb.InfoResponse:
        return wire.info_to_wire(self._info())

    @override
    async def list_available(self, list_available_request: pb.ListAvailableRequest) -> pb.ListAvailableResponse:
        programs = [wire.available_to_wire(available) for available in await self._registry.available()]
        return pb.ListAvailableResponse(programs=programs)

    def _lend(self, request: pb.LoadRequest) -> None:
        """Have a registry's credentials ready for the pull that this request leads to; they are kept nowhere else."""
        credentials = wire.credentials_from_wire(request.bytecode)
        if credentials is not None:
            self._images.lend(parse_name(request.name), request.bytecode.image.url, credentials)
