"""`conductor.loader.v1.Stats`: what programs cost, and what the verifier said."""

from __future__ import annotations

from typing_extensions import override

from conductor import __version__
from conductor.bpf import pins
from conductor.bpf.info import program_info
from conductor.errors import ConductorError
from conductor.loader.bpffs import BpfFs
from conductor.loader.ledger import Ledger
from conductor.loader.records import ProgramRecord
from conductor.loader.verifier_logs import VerifierLogs
from conductor.proto.conductor.loader import v1 as own

__all__ = ["StatsService"]


class StatsService(own.StatsBase):
    """`conductor.loader.v1.Stats`: what programs cost, and what the verifier said."""

    def __init__(self, *, ledger: Ledger, bpffs: BpfFs, logs: VerifierLogs, boot_id: str, enabled: bool) -> None:
        self._ledger, self._bpffs, self._logs = ledger, bpffs, logs
        self._boot_id, self._enabled = boot_id, enabled

    @override
    async def programs(self, programs_request: own.ProgramsRequest) -> own.ProgramsResponse:
        """Tell run times and counts of programs loaded here; ids that are not are left out."""
        wanted = {*programs_request.ids}
        runs = [self._run(program) for _, program in self._ledger.programs() if not wanted or program.id in wanted]
        return own.ProgramsResponse(enabled=self._enabled, programs=[run for run in runs if run is not None])

    @override
    async def info(self, info_request: own.InfoRequest) -> own.InfoResponse:
        """Tell of the daemon itself."""
        return own.InfoResponse(
            version=__version__,
            bpffs=str(self._bpffs.root),
            boot_id=self._boot_id,
            programs=self._ledger.count,
            links=sum(1 for _ in self._ledger.links()),
        )

    @override
    async def log(self, log_request: own.LogRequest) -> own.LogResponse:
        """Tell what the verifier said of the last refused Load of an app."""
        return own.LogResponse(lines=list(self._logs.of(log_request.app)))

    def _run(self, program: ProgramRecord) -> own.ProgramRun | None:
        try:
            with pins.open_program(self._bpffs.program(program.id)) as opened:
                seen = program_info(opened.fileno())
        except ConductorError:
            return None  # it went meanwhile
        return own.ProgramRun(
            id=program.id,
            name=program.name,
            run_time_ns=seen.run_time_ns,
            run_count=seen.run_cnt,
            recursion_misses=seen.recursion_misses,
        )
