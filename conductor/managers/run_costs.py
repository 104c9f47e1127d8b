"""Run time of kernel programs, read now and then so that nobody waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from dataclasses import replace

from conductor.errors import ConductorError
from conductor.managers.kernel_desk import KernelSide
from conductor.model.ids import Name
from conductor.model.status import Cost

__all__ = ["RunCosts"]

SECONDS = 5.0
log = logging.getLogger(__name__)


class RunCosts:
    """Own the latest run times by kernel program; None while nobody serves them."""

    def __init__(self, *, half: KernelSide) -> None:
        self._half = half
        self._latest: Mapping[Name, tuple[float, int]] | None = None

    async def run(self) -> None:
        """Read every 5 s; runs for ever."""
        while True:
            try:
                async with asyncio.timeout(SECONDS):
                    self._latest = await self._half.run_costs()
            except (ConductorError, TimeoutError):
                self._latest = None  # unknown, which is never shown as 0 or as what it was
            except Exception:
                log.exception("run times could not be read")
                self._latest = None
            await asyncio.sleep(SECONDS)

    def on(self, cost: Cost, kernel_programs: Collection[Name]) -> Cost:
        """Put what the kernel programs ran on top of a cost; where one has none, or is not told of, that stays unknown."""
        latest = self._latest
        if not kernel_programs or latest is None or not all(name in latest for name in kernel_programs):
            return cost
        seconds = sum(latest[name][0] for name in kernel_programs)
        return replace(cost, kernel_run_seconds=seconds, kernel_runs=sum(latest[name][1] for name in kernel_programs))
