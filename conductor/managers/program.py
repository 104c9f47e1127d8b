"""The Program Manager: every program's life on this node, both halves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Self

from conductor.exporter.store import SeriesStore
from conductor.managers.bus import Bus
from conductor.managers.files import StateDir
from conductor.managers.kernel_half import KernelHalf
from conductor.managers.logs import LogBook
from conductor.model.agent import Applied
from conductor.model.ids import Name
from conductor.model.program import ProgramSpec, ProgramType, Source, UserProgramSpec
from conductor.model.status import Cost, KernelStatus, ProgramStatus
from conductor.plan.merge import Key
from conductor.ports import Lookup, Runtime

__all__ = ["Applied", "Key", "ProgramManager"]


class ProgramManager:
    """Own every program of this node, both halves; nothing else starts, stops or swaps one."""

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        *,
        kernel_half: KernelHalf,
        runtimes: Mapping[ProgramType, Runtime],
        store: SeriesStore,
        lookup: Lookup,
        state_dir: StateDir,
        bus: Bus,
        logs: LogBook,
        clock: Callable[[], float],
    ) -> AsyncIterator[Self]:
        """Run the programs of the stored wishes and whatever is asked for later; closing never edits wishes."""
        raise NotImplementedError
        yield

    async def load(self, spec: UserProgramSpec, *, source: Source = Source.GRPC) -> ProgramStatus:
        """Keep a wish and wait for Running, Waiting or Failed; cancelling leaves the work going.

        Raises `AlreadyExists` (another spec), `NameTaken` (another source), `InvalidSpec`, `NotFound` (no such
        built-in), `StateUnwritable`; then nothing was kept.
        """
        raise NotImplementedError

    async def update(
        self, spec: UserProgramSpec, *, source: Source = Source.GRPC, overlap: bool = True, rollback: bool = True
    ) -> ProgramStatus:
        """Swap a program for a new spec; when the new one fails the old one stays and the failure is raised."""
        raise NotImplementedError

    async def unload(self, name: Name, *, source: Source = Source.GRPC) -> None:
        """Withdraw a wish and wait until both halves are gone. Raises `NotFound`, `SourceHolds`."""
        raise NotImplementedError

    async def start(self, name: Name) -> ProgramStatus:
        """Run a stopped or quarantined program again."""
        raise NotImplementedError

    async def stop(self, name: Name) -> ProgramStatus:
        """End the user half; the wish stays, and the kernel half stays attached."""
        raise NotImplementedError

    async def restart(self, name: Name) -> ProgramStatus:
        """End the user half and open it anew."""
        raise NotImplementedError

    async def apply(
        self, specs: Sequence[ProgramSpec], *, source: Source = Source.GRPC, dry_run: bool = False
    ) -> tuple[Applied, ...]:
        """Keep wishes of both kinds, all or none; answers as soon as they are kept."""
        raise NotImplementedError

    async def delete(
        self, keys: Sequence[Key], *, source: Source = Source.GRPC, dry_run: bool = False
    ) -> tuple[Applied, ...]:
        """Withdraw wishes by (kind, name)."""
        raise NotImplementedError

    async def set_source(self, source: Source, specs: Sequence[ProgramSpec]) -> None:
        """Replace the whole set of one source."""
        raise NotImplementedError

    def observed(self) -> tuple[ProgramStatus, ...]:
        """List user programs by name; a wish that lost its name to another source stands before the one that won."""
        raise NotImplementedError

    def get(self, name: Name) -> ProgramStatus:
        """Tell one user program. Raises `NotFound`."""
        raise NotImplementedError

    def kernel(self) -> tuple[KernelStatus, ...]:
        """List kernel programs by name."""
        raise NotImplementedError

    def kernel_get(self, name: Name) -> KernelStatus:
        """Tell one kernel program. Raises `NotFound`."""
        raise NotImplementedError

    async def kernel_log(self, name: Name) -> tuple[str, ...]:
        """Lines that the kernel or its daemon said of a kernel program. Raises `NotFound`."""
        raise NotImplementedError

    def costs(self) -> tuple[Cost, ...]:
        """Cost of each user program, restarts and updates included."""
        raise NotImplementedError

    def ready(self) -> tuple[bool, tuple[str, ...]]:
        """Whether every stored wish was tried once (or 10 s have passed), and a line per thing amiss."""
        raise NotImplementedError
