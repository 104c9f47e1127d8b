"""How often and how long kernel programs ran, as the daemon last told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from conductor.model.ids import ProgramId
from conductor.model.kernel import KernelFunctionStatus
from conductor.model.status import KernelStatus
from conductor.ports import Kernel

__all__ = ["KernelRuns"]

Runs = Mapping[ProgramId, tuple[float, int]]


class KernelRuns:
    """Own the latest figures by kernel id; None while nobody tells, which is never shown as 0 or as what it was."""

    def __init__(self, *, kernel: Kernel) -> None:
        self._kernel = kernel
        self._latest: Runs | None = None

    async def read(self) -> Runs | None:
        """Ask the daemon; what it told before is known until it answers or fails. Raises `KernelAway`."""
        told: Runs | None = None
        try:
            told = await self._kernel.run_stats()
        finally:
            self._latest = told
        return told

    def on(self, status: KernelStatus) -> KernelStatus:
        """Put the latest figures into a status."""
        if not self._latest:
            return status
        return replace(status, functions=tuple(self._told(function) for function in status.functions))

    def _told(self, function: KernelFunctionStatus) -> KernelFunctionStatus:
        seconds, runs = (self._latest or {}).get(function.id, (None, None))
        return replace(function, run_seconds=seconds, runs=runs)
