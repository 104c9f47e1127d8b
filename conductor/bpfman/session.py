"""One connection with a daemon of known flavour: every call in our words, differences between daemons ended here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, TypeVar

from betterproto import Message

from conductor.bpfman.call import Method, exchange
from conductor.bpfman.channel import OneConnection
from conductor.bpfman.flavour import Daemon, Flavour, probe
from conductor.bpfman.refusals import refusal
from conductor.bpfman.wire import (
    load_response_from_wire,
    load_to_wire,
    loaded_from_wire,
    runs_from_wire,
    unmanaged_from_wire,
)
from conductor.bpfman.wire_links import attach_to_wire
from conductor.errors import Code, ConductorError, KernelRefused, NotFound, NotSupported, VerifierRejected
from conductor.model.ids import LinkId, ProgramId
from conductor.model.kernel import KernelType, Link
from conductor.ports import KernelLoad, KernelLoaded
from conductor.proto.bpfman.v1 import (
    AttachResponse,
    DetachRequest,
    DetachResponse,
    GetRequest,
    GetResponse,
    ListRequest,
    ListResponse,
    LoadResponse,
    UnloadRequest,
    UnloadResponse,
)
from conductor.proto.conductor.loader.v1 import (
    InfoRequest,
    InfoResponse,
    LogRequest,
    LogResponse,
    ProgramsRequest,
    ProgramsResponse,
)

__all__ = ["APP", "RoadCounters", "Session"]

Reply = TypeVar("Reply")
APP = "ebpfconductor.io/app"
"""Metadata by which our loader keeps the verifier's log."""
READ_SECONDS, CHANGE_SECONDS, LOAD_SECONDS = 5.0, 20.0, 60.0
_LOAD = Method("/bpfman.v1.Bpfman/Load", LoadResponse, LOAD_SECONDS, changes=True)
_UNLOAD = Method("/bpfman.v1.Bpfman/Unload", UnloadResponse, CHANGE_SECONDS, changes=True)
_ATTACH = Method("/bpfman.v1.Bpfman/Attach", AttachResponse, CHANGE_SECONDS, changes=True)
_DETACH = Method("/bpfman.v1.Bpfman/Detach", DetachResponse, CHANGE_SECONDS, changes=True)
_LIST = Method("/bpfman.v1.Bpfman/List", ListResponse, READ_SECONDS)
_GET = Method("/bpfman.v1.Bpfman/Get", GetResponse, READ_SECONDS)
_RUNS = Method("/conductor.loader.v1.Stats/Programs", ProgramsResponse, READ_SECONDS)
_INFO = Method("/conductor.loader.v1.Stats/Info", InfoResponse, READ_SECONDS)
_LOG = Method("/conductor.loader.v1.Stats/Log", LogResponse, READ_SECONDS)


@dataclass(slots=True)
class RoadCounters:
    """What the road did since the start; plain numbers for metrics."""

    calls: int = 0
    errors: int = 0
    retries: int = 0
    reconnects: int = 0


class Session:
    """Speak to one daemon over one connection. Owns the channel; closed by `opened`."""

    def __init__(self, *, channel: OneConnection, daemon: Daemon, counters: RoadCounters) -> None:
        self._channel, self.daemon, self._counters = channel, daemon, counters

    @classmethod
    @asynccontextmanager
    async def opened(cls, *, socket: Path, counters: RoadCounters) -> AsyncIterator[Self]:
        """Connect and probe. Raises `KernelAway`, `NotAllowed`, `NotSupported`."""
        channel = OneConnection(socket=socket)
        try:
            yield cls(channel=channel, daemon=await probe(channel), counters=counters)
        finally:
            channel.close()

    async def ended(self) -> None:
        """Return when the connection has ended."""
        await self._channel.ended.wait()

    async def loaded(self, match: Mapping[str, str]) -> tuple[KernelLoaded, ...]:
        """List with links. The Go daemon's List has none, so each of its programs is asked for."""
        request = ListRequest(bpfman_programs_only=True, match_metadata=dict(match))
        answer = await self._call(_LIST, request)
        found = [self._parse(item) for item in answer.results if item.info is not None]
        if self.daemon.flavour is not Flavour.GO:
            return tuple(found)
        asked = [await self._links(program) for program in found]
        return tuple(program for program in asked if program is not None)

    async def unmanaged(self) -> tuple[KernelLoaded, ...] | None:
        """List what the daemon sees in the kernel and does not hold; None from those that list only what they hold."""
        if self.daemon.flavour is not Flavour.RUST:
            return None
        answer = await self._call(_LIST, ListRequest(bpfman_programs_only=False))
        return tuple(unmanaged_from_wire(item.kernel_info) for item in answer.results if item.info is None)

    def _parse(self, item: Any) -> KernelLoaded:
        return loaded_from_wire(item.info, item.kernel_info, bpfman_numbers=self.daemon.flavour is not Flavour.RUST)

    async def _links(self, program: KernelLoaded) -> KernelLoaded | None:
        try:
            answer = await self._call(_GET, GetRequest(id=program.id))
        except NotFound:
            return None
        links = () if answer.info is None else tuple(LinkId(link) for link in answer.info.links)
        return replace(program, links=links)

    async def load(self, load: KernelLoad) -> tuple[KernelLoaded, ...]:
        """Load all programs of one object so that they share its maps; all or nothing."""
        if self.daemon.flavour is Flavour.RUST:
            _check_rust(load)
        if self.daemon.flavour is Flavour.GO:
            load = replace(load, map_owner=await self._root(load.map_owner))
            if len(load.programs) > 1:
                return await self._load_joined(load)
        return await self._load(load)

    async def _root(self, owner: ProgramId | None) -> ProgramId | None:
        """Whose maps an owner uses: the Go daemon takes no owner but that of the first Load, gone or not."""
        if owner is None:
            return None
        try:
            answer = await self._call(_GET, GetRequest(id=owner))
        except NotFound:
            return owner
        root = None if answer.info is None else answer.info.map_owner_id
        return owner if root is None else ProgramId(root)

    async def _load(self, load: KernelLoad) -> tuple[KernelLoaded, ...]:
        try:
            answer = await self._call(_LOAD, load_to_wire(load))
        except ConductorError as error:
            raise await self._explained(error, load) from error
        programs = load_response_from_wire(answer)
        missing = {program.name for program in load.programs} - {program.name for program in programs}
        if missing:
            await self._drop(programs)
            raise KernelRefused(f"the daemon did not load {', '.join(sorted(missing))}")
        return programs

    async def _load_joined(self, load: KernelLoad) -> tuple[KernelLoaded, ...]:
        """Load one by one, later ones into the first one's maps: the Go daemon shares none within a Load."""
        done = await self._load(replace(load, programs=load.programs[:1]))
        owner = load.map_owner or done[0].id
        shared = done[0].map_pin_path
        try:
            for program in load.programs[1:]:
                (more,) = await self._load(replace(load, programs=(program,), map_owner=owner))
                done = (*done, more)
                if more.map_pin_path != shared:
                    raise KernelRefused(f"{program.name} was given maps of its own in {more.map_pin_path}")
        except ConductorError:
            await self._drop(done)
            raise
        return done

    async def _drop(self, programs: tuple[KernelLoaded, ...]) -> None:
        """Unload in reverse; what cannot be unloaded now is found by its metadata later."""
        for program in reversed(programs):
            try:
                await self.unload(program.id)
            except ConductorError:
                continue

    async def _explained(self, error: ConductorError, load: KernelLoad) -> ConductorError:
        """Name the program that the verifier refused and fetch its whole log, which only our loader keeps."""
        if not isinstance(error, VerifierRejected):
            return error
        alone = load.programs[0].name if len(load.programs) == 1 else error.program
        program = next((p.name for p in load.programs if p.name in str(error)), alone)
        app = load.metadata.get(APP, "")
        if not (app and self.daemon.flavour is Flavour.LOADER):
            return VerifierRejected(program, error.log)
        answer = await exchange(self._channel, _LOG, LogRequest(app=app))
        return VerifierRejected(program, tuple(answer.message.lines) if answer.message else error.log)

    async def attach(self, program: ProgramId, type_: KernelType, link: Link, interface: str) -> LinkId:
        """Attach one link. Raises `AnswerLost` where it may have happened."""
        answer = await self._call(_ATTACH, attach_to_wire(program, type_, link, interface))
        return LinkId(answer.link_id)

    async def detach(self, link: LinkId) -> None:
        """Detach one link. Raises `NotFound` when it is gone."""
        await self._call(_DETACH, DetachRequest(link_id=link))

    async def unload(self, program: ProgramId) -> None:
        """Unload one program with its links. Raises `NotFound` when it is gone."""
        await self._call(_UNLOAD, UnloadRequest(id=program))

    async def run_stats(self) -> dict[ProgramId, tuple[float, int]] | None:
        """Run times, where the daemon serves `conductor.loader.v1.Stats`."""
        self._counters.calls += 1
        answer = await exchange(self._channel, _RUNS, ProgramsRequest())
        return None if answer.message is None else runs_from_wire(answer.message)

    async def look(self) -> None:
        """Have an assistant look at bpfman now: it gives what was pinned for us before it answers."""
        await self._call(_INFO, InfoRequest())

    async def _call(self, method: Method[Reply], request: Message) -> Reply:
        self._counters.calls += 1
        try:
            answer = await exchange(self._channel, method, request)
            if answer.message is None:
                code = answer.code or Code.UNKNOWN
                raise refusal(code, answer.text, changes=method.changes, metadata=answer.metadata)
        except ConductorError:
            self._counters.errors += 1
            raise
        return answer.message


def _check_rust(load: KernelLoad) -> None:
    """Refuse what the Rust daemon would take and do otherwise."""
    helps = "or use bpfman's Go daemon or `--kernel embedded`"
    if load.map_owner is not None:
        raise NotSupported(
            f"bpfman 0.6 (Rust) does not share maps between Loads; put the programs into one object, {helps}"
        )
    if any(program.type is KernelType.LSM for program in load.programs):
        # It takes a number that it does not know for its first one, which is XDP.
        raise NotSupported(f"bpfman 0.6 (Rust) has no LSM programs; load it without them, {helps}")
