"""`bpfman.v1.Bpfman`: one short method per RPC. Reads answer from the ledger, changes go to the worker."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial

from typing_extensions import override

from conductor.errors import NotFound, VerifierRejected
from conductor.loader.attach import Links
from conductor.loader.bpffs import BpfFs
from conductor.loader.hooks import hook_place
from conductor.loader.images import ImagePulls
from conductor.loader.ledger import Ledger
from conductor.loader.programs import Programs
from conductor.loader.records import LoadRecord, ProgramRecord
from conductor.loader.verifier_logs import VerifierLogs
from conductor.loader.wire import (
    entry_to_wire,
    filter_from_wire,
    image_from_wire,
    image_of_load,
    info_to_wire,
    kernel_to_wire,
    list_to_wire,
    load_from_wire,
)
from conductor.loader.wire_hooks import hook_from_wire
from conductor.loader.worker import Worker
from conductor.model.ids import LinkId, ProgramId
from conductor.proto.bpfman import v1 as pb

__all__ = ["BpfmanService"]

log = logging.getLogger(__name__)
APP = "ebpfconductor.io/app"
"""Load metadata: the name under which a refusal's log is kept."""
_ENTRIES = 4096


class BpfmanService(pb.BpfmanBase):
    """`bpfman.v1.Bpfman`, all of it."""

    def __init__(
        self,
        *,
        worker: Worker,
        ledger: Ledger,
        bpffs: BpfFs,
        programs: Programs,
        links: Links,
        logs: VerifierLogs,
        images: ImagePulls,
    ) -> None:
        self._images = images
        self._worker, self._ledger, self._bpffs = worker, ledger, bpffs
        self._programs, self._links, self._logs = programs, links, logs
        self._entries: dict[ProgramId, tuple[object, bytes]] = {}

    @override
    async def load(self, load_request: pb.LoadRequest) -> pb.LoadResponse:
        """Load every program of an object, or none."""
        wish = load_from_wire(load_request)
        if (image := image_of_load(load_request)) is not None:
            wish = replace(wish, path=str(await self._images.file_of(*image_from_wire(image))))
        try:
            load = await self._worker.do(partial(self._programs.load, wish))
        except VerifierRejected as error:
            self._logs.keep(wish.metadata.get(APP, ""), error.log)
            raise
        log.info("loaded %s as %s", load.path, ", ".join(f"{p.id} ({p.name})" for p in load.programs))
        loaded = [
            pb.LoadResponseInfo(info=self._info(load, program), kernel_info=kernel_to_wire(program))
            for program in load.programs
        ]
        return pb.LoadResponse(programs=loaded)

    @override
    async def unload(self, unload_request: pb.UnloadRequest) -> pb.UnloadResponse:
        """Detach and remove one program."""
        id_ = ProgramId(unload_request.id)
        await self._worker.do(partial(self._programs.unload, id_))
        log.info("unloaded %d", id_)
        return pb.UnloadResponse()

    @override
    async def attach(self, attach_request: pb.AttachRequest) -> pb.AttachResponse:
        """Attach one program at one place."""
        hook = hook_from_wire(attach_request)
        link = await self._worker.do(partial(self._links.attach, ProgramId(attach_request.id), hook))
        log.info("attached %d at %s as link %d", attach_request.id, hook_place(hook), link)
        return pb.AttachResponse(link_id=link)

    @override
    async def detach(self, detach_request: pb.DetachRequest) -> pb.DetachResponse:
        """Detach one link."""
        await self._worker.do(partial(self._links.detach, LinkId(detach_request.link_id)))
        log.info("detached link %d", detach_request.link_id)
        return pb.DetachResponse()

    @override
    async def list(self, list_request: pb.ListRequest) -> pb.ListResponse:
        """List what was loaded here and is in the kernel; links are told, as the Go daemon does not."""
        matches = filter_from_wire(list_request)
        return list_to_wire(
            [
                self._entry(load, program)
                for load, program in self._ledger.programs()
                if matches(load, program) and self._is_there(program)
            ]
        )

    @override
    async def get(self, get_request: pb.GetRequest) -> pb.GetResponse:
        """Tell of one program that was loaded here."""
        load, program = self._ledger.find(ProgramId(get_request.id))
        if not self._is_there(program):
            raise NotFound(f"program {program.id} ({program.name}) lost its pin: unload it and load it again")
        return pb.GetResponse(info=self._info(load, program), kernel_info=kernel_to_wire(program))

    @override
    async def pull_bytecode(self, pull_bytecode_request: pb.PullBytecodeRequest) -> pb.PullBytecodeResponse:
        """Pull an image before it is loaded."""
        await self._images.file_of(*image_from_wire(pull_bytecode_request.image))
        return pb.PullBytecodeResponse()

    def _entry(self, load: LoadRecord, program: ProgramRecord) -> bytes:
        """Print a program for a list, or take what was printed before if it would come out the same."""
        state = (load, program, self._links.living(program), self._ledger.sharers(program))
        known, entry = self._entries.get(program.id, (None, b""))
        if known != state:
            entry = entry_to_wire(pb.ListResult(info=self._info(load, program), kernel_info=kernel_to_wire(program)))
            if len(self._entries) >= _ENTRIES:
                self._entries.clear()
            self._entries[program.id] = state, entry
        return entry

    def _info(self, load: LoadRecord, program: ProgramRecord) -> pb.ProgramInfo:
        return info_to_wire(
            load,
            program,
            links=self._links.living(program),
            map_pins=self._bpffs.maps(program.id),
            used_by=self._ledger.sharers(program),
            image=self._images.name_of(load.path),
        )

    def _is_there(self, program: ProgramRecord) -> bool:
        return self._bpffs.program(program.id).exists()
