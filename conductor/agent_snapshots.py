"""The composition root's loop: each second a snapshot of the metrics page, the agent's own figures first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from conductor.api.http import HttpDoor
from conductor.api.server import GrpcServer
from conductor.api.view import View
from conductor.bpfman.road import BpfmanRoad
from conductor.exporter.board import Rows
from conductor.exporter.metrics import SelfMetrics
from conductor.exporter.page import Page
from conductor.managers.bus import Bus
from conductor.managers.image import ImageManager
from conductor.managers.kernel_half import KernelHalf

__all__ = ["Snapshots"]

TICK_SECONDS = 1.0
"""Between snapshots of the metrics page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshots:
    """What the agent's own figures are read from."""

    page: Page
    own: SelfMetrics
    view: View
    bus: Bus
    door: HttpDoor
    server: GrpcServer
    road: BpfmanRoad
    half: KernelHalf
    images: ImageManager
    figures: Callable[[], Mapping[str, Rows]]
    """Of the cluster, by family; empty without one."""

    async def run(self) -> None:
        """Take snapshots; runs for ever."""
        while True:
            self._update()
            await asyncio.to_thread(self.page.tick, time.monotonic())
            await asyncio.sleep(TICK_SECONDS)

    def _update(self) -> None:
        view, road, half = self.view, self.road, self.half
        self.own.update(
            programs=view.programs(),
            costs=view.costs(),
            kernel=view.kernel(),
            ready=view.ready(),
            queues={"events": self.bus},
            reconcile=asdict(half.counters),
            road=None if road.status.road == "none" else (road.status.road, road.status.connected),
            road_counts=asdict(road.counters),
            kernel_counts={**half.strays.counts(), "links_left_out": half.links_left_out},
            images=self.images.counts(),
            calls=self.server.counts,
            requests=self.door.requests,
            loop_lag=self.door.loop_lag,
            more=self.figures(),
        )
