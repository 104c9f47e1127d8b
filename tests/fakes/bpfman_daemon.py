"""A daemon's socket over the fake kernel, in the manners of each daemon that we meet.

What it models: status codes, what List and Get fill in, which Loads share maps (the Go daemon's sets of maps outlive
their owner, are named by it alone, and must hold every map of a newcomer), the flavour probe's answers, the
verifier's log and run times where our loader serves them. It parses with our own `from_wire`: that the bytes are
bpfman's is shown by the golden bytes of `test_wire.py` and by the contract suite against real daemons.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Any

import betterproto
from grpclib.const import Status
from grpclib.events import SendInitialMetadata, SendTrailingMetadata, listen
from grpclib.exceptions import GRPCError
from grpclib.protocol import H2Protocol
from grpclib.server import Server
from typing_extensions import override

from conductor.bpfman.wire import load_from_wire, loaded_to_wire
from conductor.bpfman.wire_links import attach_from_wire
from conductor.errors import Code, ConductorError, InvalidSpec, KernelRefused, NotFound, VerifierRejected
from conductor.model.ids import LinkId, ProgramId
from conductor.ports import KernelLoad, KernelLoaded
from conductor.proto.bpfman.v1 import (
    AttachRequest,
    AttachResponse,
    BpfmanBase,
    DetachRequest,
    DetachResponse,
    GetRequest,
    GetResponse,
    ListRequest,
    ListResponse,
    ListResult,
    LoadRequest,
    LoadResponse,
    LoadResponseInfo,
    UnloadRequest,
    UnloadResponse,
)
from conductor.proto.conductor.loader.v1 import (
    LogRequest,
    LogResponse,
    ProgramRun,
    ProgramsRequest,
    ProgramsResponse,
    StatsBase,
)
from tests.fakes.kernel import FakeKernel

__all__ = ["Manners", "serving"]

_reason: ContextVar[str] = ContextVar("reason", default="")


class Manners(Enum):
    """Whose behaviour is shown."""

    LOADER = "loader"
    RUST = "bpfman-rust"
    GO = "bpfman-go"
    OLD = "bpfman 0.5"


@asynccontextmanager
async def serving(socket: Path, kernel: FakeKernel, manners: Manners) -> AsyncIterator[None]:
    """Answer on `socket` until the body ends, then drop every connection."""
    services: list[Any] = [_Bpfman(kernel, manners)]
    if manners is Manners.LOADER:
        services.append(_Stats(kernel))
    server = _Server(services)
    if manners is Manners.LOADER:
        listen(server, SendInitialMetadata, _sign)
        listen(server, SendTrailingMetadata, _explain)
    await server.start(path=str(socket))
    try:
        yield
    finally:
        server.close()
        server.hang_up()
        await server.wait_closed()


class _Server(Server):
    """A server whose end is that of a process: every connection ends with it."""

    def __init__(self, services: list[Any]) -> None:
        super().__init__(services)
        self._connections: list[H2Protocol] = []

    @override
    def _protocol_factory(self) -> H2Protocol:
        self._connections.append(super()._protocol_factory())
        return self._connections[-1]

    def hang_up(self) -> None:
        for connection in self._connections:
            connection.processor.close()


async def _sign(event: SendInitialMetadata) -> None:
    event.metadata["x-ebpfconductor-loader"] = "1.2.3"


async def _explain(event: SendTrailingMetadata) -> None:
    event.metadata["x-ebpfconductor-loader"] = "1.2.3"
    if event.status is not Status.OK:
        event.metadata["reason"] = _reason.get()


class _Bpfman(BpfmanBase):
    def __init__(self, kernel: FakeKernel, manners: Manners) -> None:
        self._kernel, self._manners = kernel, manners
        self._sets: dict[ProgramId, ProgramId] = {}
        """The Go daemon's sets of maps: programs that use those of another, which may be gone."""

    def _refuse(self, error: ConductorError) -> GRPCError:
        _reason.set(error.reason)
        code = error.code
        if self._manners in (Manners.RUST, Manners.OLD):
            code = Code.ABORTED
        elif self._manners is Manners.GO and code not in (Code.NOT_FOUND, Code.INVALID_ARGUMENT):
            code = Code.INTERNAL
        return GRPCError(Status(code.value), str(error))

    @override
    async def load(self, load_request: LoadRequest) -> LoadResponse:
        try:
            load = load_from_wire(load_request)
            alone = self._manners is Manners.GO
            batches = [replace(load, programs=(p,)) for p in load.programs] if alone else [load]
            done = [program for batch in batches for program in await self._load(batch)]
        except ConductorError as error:
            raise self._refuse(error) from error
        return LoadResponse(programs=[LoadResponseInfo(*loaded_to_wire(program)) for program in done])

    async def _load(self, load: KernelLoad) -> tuple[KernelLoaded, ...]:
        if self._manners is not Manners.GO or load.map_owner is None:
            return await self._kernel.load(load)
        set_ = load.map_owner
        users = [id_ for id_ in self._kernel.programs if self._sets.get(id_, id_) == set_]
        if not users:
            raise InvalidSpec("map_owner_id", f"{set_} does not exist")
        there = self._kernel.maps_of(users[0])
        missing = [name for name in self._kernel.objects[load.path].maps if name not in there]
        if missing:
            raise KernelRefused(f"load shared map {missing[0]} from owner {set_}: no such file or directory")
        done = await self._kernel.load(replace(load, map_owner=users[0]))
        done = tuple(replace(program, map_pin_path=f"/fake/maps/{set_}") for program in done)
        self._kernel.programs |= {program.id: program for program in done}
        self._sets |= {program.id: set_ for program in done}
        return done

    @override
    async def unload(self, unload_request: UnloadRequest) -> UnloadResponse:
        try:
            await self._kernel.unload(ProgramId(unload_request.id))
        except ConductorError as error:
            raise self._refuse(error) from error
        return UnloadResponse()

    @override
    async def attach(self, attach_request: AttachRequest) -> AttachResponse:
        if self._manners is Manners.OLD:
            raise GRPCError(Status.UNIMPLEMENTED)
        if not betterproto.which_one_of(attach_request.attach, "info")[0]:
            raise GRPCError(Status.ABORTED, "missing attach_info")
        try:
            program, link, interface = attach_from_wire(attach_request)
            type_ = self._program(program).type
            assert type_ is not None
            return AttachResponse(link_id=await self._kernel.attach(program, type_, link, interface))
        except ConductorError as error:
            raise self._refuse(error) from error

    @override
    async def detach(self, detach_request: DetachRequest) -> DetachResponse:
        try:
            await self._kernel.detach(LinkId(detach_request.link_id))
        except ConductorError as error:
            raise self._refuse(error) from error
        return DetachResponse()

    @override
    async def list(self, list_request: ListRequest) -> ListResponse:
        found = await self._kernel.loaded(list_request.match_metadata)
        if self._manners is Manners.GO:
            found = tuple(replace(program, links=()) for program in found)
        results = [ListResult(*loaded_to_wire(program)) for program in found]
        if self._manners is Manners.RUST and not list_request.bpfman_programs_only:
            orphans = await self._kernel.unmanaged() or ()
            results += [ListResult(kernel_info=loaded_to_wire(program)[1]) for program in orphans]
        return ListResponse(results=results)

    @override
    async def get(self, get_request: GetRequest) -> GetResponse:
        try:
            self._program(ProgramId(get_request.id))
        except ConductorError as error:
            raise self._refuse(error) from error
        (found,) = [p for p in await self._kernel.loaded({}) if p.id == get_request.id]
        info, kernel_info = loaded_to_wire(found)
        info.map_owner_id = self._sets.get(found.id)
        return GetResponse(info, kernel_info)

    def _program(self, id_: ProgramId) -> KernelLoaded:
        if id_ not in self._kernel.programs:
            raise NotFound(f"program {id_} does not exist")
        return self._kernel.programs[id_]


class _Stats(StatsBase):
    def __init__(self, kernel: FakeKernel) -> None:
        self._kernel = kernel

    @override
    async def programs(self, programs_request: ProgramsRequest) -> ProgramsResponse:
        runs = self._kernel.runs or {}
        told = [ProgramRun(id=id_, run_time_ns=int(s * 1e9), run_count=n) for id_, (s, n) in runs.items()]
        return ProgramsResponse(enabled=self._kernel.runs is not None, programs=told)

    @override
    async def log(self, log_request: LogRequest) -> LogResponse:
        refused = self._kernel.last_refusal
        return LogResponse(lines=list(refused.log) if isinstance(refused, VerifierRejected) else [])
