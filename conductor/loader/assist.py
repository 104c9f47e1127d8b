"""`conductor loader --assist`: beside a real bpfman, give the agent its pins and run times; load nothing.

bpfman's daemons keep pins to root (Go) or to their own group (Rust), and count no run times.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from grpclib.client import Channel
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
from typing_extensions import override

from conductor import __version__
from conductor.bpf.info import program_by_id, program_info
from conductor.bpf.library import libbpf_version
from conductor.errors import ConductorError, NotYet
from conductor.loader.grants import Grants
from conductor.loader.health import HealthService
from conductor.loader.listener import listening
from conductor.loader.rpc import Door
from conductor.loader.serving import counting, serving, signals
from conductor.proto.bpfman import v1 as pb
from conductor.proto.conductor.loader import v1 as own

__all__ = ["Assistant", "assist"]

log = logging.getLogger(__name__)
OWNER = "ebpfconductor.io/owner"
"""Load metadata that tells a program of ours."""
LOOK_SECONDS = 10.0
"""Between looks at what bpfman holds; an agent that has just loaded asks for one."""
_PATIENCE = 5.0
_SERVICES = ("bpfman.v1.Bpfman", "conductor.loader.v1.Stats")
_AWAY = (OSError, GRPCError, StreamTerminatedError, ProtocolError, TimeoutError)


async def assist(
    *,
    socket: Path,
    bpfman: Path,
    group: int,
    boot_id: str,
    stats: bool = True,
    stopping: asyncio.Event | None = None,
    ready: Callable[[], None] | None = None,
) -> None:
    """Serve `conductor.loader.v1.Stats` on `socket` for what bpfman on `bpfman` loaded for us, until told to stop.

    Raises `LibraryMissing`, `AddressInUse`, `KernelRefused`.
    """
    libbpf_version()
    stop = stopping or asyncio.Event()
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(listening(socket, group))
        enabled = stats and counting(stack)
        assistant = await stack.enter_async_context(Assistant.running(bpfman=bpfman, group=group))
        refusing = NoBpfman(bpfman=bpfman)
        told = AssistStats(assistant=assistant, boot_id=boot_id, enabled=enabled)
        services = (refusing, told, HealthService(services=_SERVICES, stopping=stop))
        async with serving([Door(service=service, group=group) for service in services], listener):
            with signals(stop):
                log.info("assisting bpfman at %s, serving on %s", bpfman, socket)
                if ready is not None:
                    ready()
                await stop.wait()


class Assistant:
    """Own what is known of bpfman's programs of ours, and the pins that are given. Changes nothing else."""

    def __init__(self, *, bpfman: Path, group: int) -> None:
        self._bpfman, self._grants = bpfman, Grants(group=group)
        self._looking = asyncio.Lock()
        self._problem = ""
        self.programs: dict[int, str] = {}
        """Names of our programs by kernel id, as last listed."""

    @classmethod
    @asynccontextmanager
    async def running(cls, *, bpfman: Path, group: int) -> AsyncIterator[Assistant]:
        """Look at bpfman now and then while the body runs."""
        self = cls(bpfman=bpfman, group=group)
        async with asyncio.TaskGroup() as tasks:
            looking = tasks.create_task(self._look_for_ever(), name="look at bpfman")
            yield self
            looking.cancel()

    async def look(self) -> None:
        """List what bpfman loaded for us and give its maps; a bpfman that is away is told once."""
        async with self._looking:
            try:
                async with asyncio.timeout(_PATIENCE):
                    listed = await self._list()
            except (*_AWAY, AttributeError) as error:
                if isinstance(error, AttributeError) and error.name != "_transport":
                    raise  # that one grpclib takes from a connection which ended before it was used
                self._tell(
                    f"bpfman at {self._bpfman} does not tell what it holds: {str(error) or type(error).__name__}"
                )
                return
            self._tell("")
            self.programs = {result.kernel_info.id: _name(result) for result in listed}
            await asyncio.to_thread(self._give, listed)

    def _give(self, listed: list[pb.ListResult]) -> None:
        for result in listed:
            if result.info is not None:
                self._grants.give(result.info.map_pin_path, result.info.metadata)

    async def _list(self) -> list[pb.ListResult]:
        channel = Channel(path=str(self._bpfman))
        try:
            answer = await pb.BpfmanStub(channel).list(pb.ListRequest(bpfman_programs_only=True))
        finally:
            channel.close()
        return [result for result in answer.results if result.info is not None and OWNER in result.info.metadata]

    async def _look_for_ever(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    def _tell(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("%s", problem or f"bpfman at {self._bpfman} answers again")
        self._problem = problem


def _name(result: pb.ListResult) -> str:
    return result.kernel_info.name if result.info is None else result.info.name


class AssistStats(own.StatsBase):
    """`conductor.loader.v1.Stats` for programs that bpfman holds for us."""

    def __init__(self, *, assistant: Assistant, boot_id: str, enabled: bool) -> None:
        self._assistant, self._boot_id, self._enabled = assistant, boot_id, enabled

    @override
    async def programs(self, programs_request: own.ProgramsRequest) -> own.ProgramsResponse:
        """Tell run times and counts of our programs; of nobody else's."""
        wanted = {*programs_request.ids}
        ours = self._assistant.programs.items()
        runs = [_run(id_, name) for id_, name in ours if not wanted or id_ in wanted]
        return own.ProgramsResponse(enabled=self._enabled, programs=[run for run in runs if run is not None])

    @override
    async def info(self, info_request: own.InfoRequest) -> own.InfoResponse:
        """Look at bpfman, give what it pinned for us, and tell of the assistant."""
        await self._assistant.look()
        return own.InfoResponse(
            version=__version__, boot_id=self._boot_id, programs=len(self._assistant.programs), assist=True
        )

    @override
    async def log(self, log_request: own.LogRequest) -> own.LogResponse:
        """Tell nothing: bpfman's verifier logs come with its refusals."""
        return own.LogResponse()


def _run(id_: int, name: str) -> own.ProgramRun | None:
    try:
        with program_by_id(id_) as opened:
            seen = program_info(opened.fileno())
    except ConductorError:
        return None  # it went meanwhile
    return own.ProgramRun(
        id=id_,
        name=name,
        run_time_ns=seen.run_time_ns,
        run_count=seen.run_cnt,
        recursion_misses=seen.recursion_misses,
    )


class NoBpfman(pb.BpfmanBase):
    """`bpfman.v1.Bpfman`, refused: the one who loads is the real one."""

    def __init__(self, *, bpfman: Path) -> None:
        self._bpfman = bpfman

    def _refusal(self) -> NotYet:
        return NotYet(f"this is `conductor loader --assist`, which loads nothing: ask bpfman at {self._bpfman}")

    @override
    async def load(self, load_request: pb.LoadRequest) -> pb.LoadResponse:
        """Refuse."""
        raise self._refusal()

    @override
    async def unload(self, unload_request: pb.UnloadRequest) -> pb.UnloadResponse:
        """Refuse."""
        raise self._refusal()

    @override
    async def attach(self, attach_request: pb.AttachRequest) -> pb.AttachResponse:
        """Refuse."""
        raise self._refusal()

    @override
    async def detach(self, detach_request: pb.DetachRequest) -> pb.DetachResponse:
        """Refuse."""
        raise self._refusal()

    @override
    async def list(self, list_request: pb.ListRequest) -> pb.ListResponse:
        """Refuse."""
        raise self._refusal()

    @override
    async def get(self, get_request: pb.GetRequest) -> pb.GetResponse:
        """Refuse."""
        raise self._refusal()

    @override
    async def pull_bytecode(self, pull_bytecode_request: pb.PullBytecodeRequest) -> pb.PullBytecodeResponse:
        """Refuse."""
        raise self._refusal()
