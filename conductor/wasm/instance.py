"""One running wasm program: its guest on a lane, ticks, records, budgets, and an end that always comes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from conductor.errors import BudgetExceeded, ConductorError, ProgramStuck, TickFailed
from conductor.model.program import Limits
from conductor.ports import InstanceCost, LogSink
from conductor.wasm.caller import Caller
from conductor.wasm.delivery import Delivery
from conductor.wasm.feed import Feed
from conductor.wasm.guest import Guest
from conductor.wasm.inbox import Ledger
from conductor.wasm.lane import Lane
from conductor.wasm.losses import LossCounters
from conductor.wasm.patience import Patience
from conductor.wasm.pump import Pump
from conductor.wasm.shelf import Shelf
from conductor.wasm.streams import Streams

__all__ = ["WasmInstance"]

CLOSE_SECONDS: Final = 4.5
DRAIN_SECONDS: Final = 1.5
"""How long an ending instance may still take records that wait."""
log = logging.getLogger(__name__)


class WasmInstance:
    """One guest and everything that calls it (implements `ports.Instance`)."""

    def __init__(
        self,
        *,
        name: str,
        lane: Lane,
        pump: Pump,
        shelf: Shelf,
        limits: Limits,
        interval: float,
        patience: Patience,
        log_sink: LogSink,
        wall_seconds: float,
        losses: LossCounters,
    ) -> None:
        self.name = name
        self._lane, self._limits, self._log = lane, limits, log_sink
        self._base_interval, self._patience, self._wall_seconds = interval, patience, wall_seconds
        self._delivery = Delivery(lane=lane, patience=patience, log_sink=log_sink, inbox_bytes=limits.inbox)
        self._caller: Caller | None = None
        self._feed = Feed(name=name, pump=pump, shelf=shelf, streams=self.streams, losses=losses)
        self._closed = False
        self._given_up = False
        """Over its budget for too long: it gets no more records."""

    @property
    def streams(self) -> Streams:
        """Where its records wait."""
        return self._delivery.streams

    # --- starting -----------------------------------------------------------------------------------------------------

    async def start(self, guest: Guest, *, fed: bool = True) -> None:
        """Run start section, `_initialize` and `conductor_v1_start`; then be fed, unless told to wait.

        Raises what the guest does; `ProgramCrashed` when its start answers anything but 0.
        """
        self._caller = Caller(
            guest, limits=self._limits, wall_seconds=self._wall_seconds, patience=self._patience, log_sink=self._log
        )
        await self._lane.ask(self._begin)
        if fed:
            await asyncio.to_thread(self._feed.begin)

    def take_over(self, other: WasmInstance) -> None:
        """Be fed instead of another, at one position of each ring; it gets its place back if this one ends first."""
        self._feed.take_over(other._feed, with_waiting=other._is_broken)

    def inherit(self, other: WasmInstance) -> None:
        """Go on with the books of one that ended."""
        self._feed.inherit(other._feed)

    # --- ports.Instance -----------------------------------------------------------------------------------------------

    @property
    def interval(self) -> float:
        """Seconds between ticks; more while it owes CPU."""
        return max(self._base_interval, self._patience.wait())

    async def tick(self) -> None:
        """Tick. Raises `TickFailed`; `ProgramCrashed` or `BudgetExceeded` when it is beyond use."""
        try:
            self._patience.check()
        except BudgetExceeded:
            self._given_up = True
            raise
        answer = await self._lane.ask(self._tick)
        self._patience.note(throttled=self._patience.wait() > self._base_interval)
        if answer != 0:
            raise TickFailed(f"tick answered {answer}; conductor logs {self.name} may tell more")

    def cost(self) -> InstanceCost:
        """What it cost so far; memory and CPU as of the last call."""
        guest, total = self._guest, Ledger()
        ledgers = self.streams.ledgers()
        for ledger in ledgers.values():
            total.add(ledger)
        return InstanceCost(
            cpu_seconds=guest.cpu_seconds if guest else 0.0,
            memory_bytes=guest.memory_bytes if guest else None,
            events_taken=total.taken,
            events_delivered=total.delivered,
            events_queued=total.queued,
            events_dropped=dict(total.dropped),
            kernel_losses=self._feed.losses.total(),
            streams={name: ledger.cost(self._feed.losses.of(name)) for name, ledger in ledgers.items()},
        )

    def when_broken(self, wake: Callable[[], object]) -> None:
        """Have `wake` called, on any thread, when it fails between ticks: the next tick then says why."""
        self._delivery.wake = wake

    async def close(self) -> None:
        """Deliver what it can, let it save, and end it; records that still wait are for its program's next instance.

        Raises `ProgramStuck` when it did not return.
        """
        if self._closed:
            return
        self._closed = True
        self._delivery.stop()
        guest = self._guest
        await asyncio.to_thread(self._feed.step_down, stays=self._is_broken and not self._given_up)
        is_stuck, is_kept = True, False
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._ask_at_last(self._finish, hurry_after=CLOSE_SECONDS - 1.0)
            is_stuck = False
            is_kept = not self._given_up and self._feed.leave()
        except TimeoutError as exc:
            raise ProgramStuck(f"{self.name}: close did not return within {CLOSE_SECONDS:g} s") from exc
        finally:
            if not is_kept:
                await asyncio.to_thread(self._feed.end, lost=is_stuck)
            if guest is not None:
                guest.meter.hurried = True

    def abandon(self) -> None:
        """End it as soon as it lets itself be ended, for who does not wait any more."""
        guest = self._guest
        if guest is not None:
            guest.meter.hurried = True
            self._lane.post(guest.close)
            self._lane.post(self._feed.end)

    async def save(self) -> None:
        """Let it save state, where it can. Raises `ProgramCrashed` when it breaks over it."""
        caller = self._caller
        if caller is not None and caller.guest.failure is None:
            await self._lane.ask(caller.save)

    async def is_healthy(self) -> bool:
        """Ask it, where it can tell. Raises why it is beyond use."""
        caller = self._caller
        if caller is not None and caller.guest.failure is not None:
            raise caller.guest.failure
        if caller is None or not caller.guest.exports("conductor_v1_healthy"):
            return True
        return await self._lane.ask(lambda: caller.call("conductor_v1_healthy")) == 1

    # --- inside -------------------------------------------------------------------------------------------------------

    @property
    def _guest(self) -> Guest | None:
        return self._caller.guest if self._caller else None

    @property
    def _is_broken(self) -> bool:
        return self._caller is not None and self._caller.guest.failure is not None

    async def _ask_at_last(self, job: Callable[[], None], *, hurry_after: float) -> None:
        """Do a job on the lane; the guest is told to hurry when that takes long."""
        guest = self._guest
        loop = asyncio.get_running_loop()
        hurry = loop.call_later(hurry_after, setattr, guest.meter, "hurried", True) if guest is not None else None
        try:
            await self._lane.ask(job)
        finally:
            if hurry is not None:
                hurry.cancel()

    # --- on the lane --------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        caller = self._caller
        assert caller is not None
        try:
            self._feed.losses.look()
            caller.begin()
        finally:
            self.streams.is_open = False
        self._delivery.begin(caller)

    def _tick(self) -> int:
        self._feed.losses.look()
        caller = self._caller
        assert caller is not None
        return caller.call("conductor_v1_tick", time.monotonic_ns())

    def _finish(self) -> None:
        """Use it for the last time: records that wait, state, and the end."""
        caller = self._caller
        if caller is None:
            return
        if self._given_up:
            self.streams.end("quarantined")
        try:
            self._delivery.finish(caller, DRAIN_SECONDS)
            if caller.guest.failure is None:
                caller.save()
        except ConductorError:
            log.debug("%s broke while it ended", self.name, exc_info=True)
        finally:
            self._feed.losses.look()
            caller.guest.close()
