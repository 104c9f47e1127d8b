"""One running wasm program: its guest on a lane, ticks, records, budgets, and an end that always comes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, TypeVar

from conductor.errors import (
    BudgetExceeded,
    ConductorError,
    ProgramCrashed,
    ProgramStuck,
    TickFailed,
)
from conductor.model.program import Limits
from conductor.ports import InstanceCost, LogSink, MapHandle
from conductor.wasm.guest import Guest
from conductor.wasm.inbox import Ledger
from conductor.wasm.losses import KernelLosses
from conductor.wasm.meter import Bucket
from conductor.wasm.pool import Lane
from conductor.wasm.pump import Pump
from conductor.wasm.streams import Stream, Streams, bring

__all__ = ["Patience", "WasmInstance"]

CLOSE_SECONDS: Final = 4.5
DRAIN_SECONDS: Final = 1.5
"""How long an ending instance may still take records that wait."""
DRAIN_CALLS: Final = 16
"""Deliveries in a row before ticks get their turn."""
T = TypeVar("T")
log = logging.getLogger(__name__)


class Patience:
    """How long an instance may be over its budget per second: throttled at first, then given up."""

    def __init__(self, *, limits: Limits, seconds: float) -> None:
        self._bucket = Bucket(rate=limits.cpu, burst=max(limits.cpu_call, 10 * limits.cpu))
        self._seconds = seconds
        self._since: float | None = None
        self._cpu = limits.cpu

    def spend(self, cpu: float) -> None:
        """Take what a call cost."""
        self._bucket.spend(cpu)

    def wait(self) -> float:
        """Seconds until it may run again."""
        return self._bucket.wait()

    def note(self, *, throttled: bool) -> None:
        """Remember since when it is throttled without a break."""
        if not throttled:
            self._since = None
        elif self._since is None:
            self._since = time.monotonic()

    def check(self) -> None:
        """Raise `BudgetExceeded` when it has been throttled for too long."""
        if self._since is not None and time.monotonic() - self._since > self._seconds:
            raise BudgetExceeded(
                f"it wants more than {self._cpu:g} s of CPU a second (limit cpu) and was throttled for "
                f"{self._seconds:g} s without a break; raise the limit or do less"
            )


class WasmInstance:
    """One guest and everything that calls it (implements `ports.Instance`)."""

    def __init__(
        self,
        *,
        name: str,
        lane: Lane,
        pump: Pump,
        limits: Limits,
        interval: float,
        patience: Patience,
        log_sink: LogSink,
        wall_seconds: float,
        losses: Sequence[MapHandle] = (),
    ) -> None:
        self.name = name
        self._lane, self._pump, self._limits, self._log = lane, pump, limits, log_sink
        self._base_interval, self._patience = interval, patience
        self._wall = wall_seconds + 10 * limits.cpu_call
        self.streams = Streams(inbox_bytes=limits.inbox, on_offer=self._offered)
        self._guest: Guest | None = None
        self._inherited = Ledger()
        self._losses = [KernelLosses(handle) for handle in losses]
        self._draining = False
        self._closing = False
        self._closed = False
        self._given_up = False
        """Over its budget for too long: it gets no more records."""
        self._is_fed = False
        self._wake: Callable[[], object] = _nothing

    # --- starting -----------------------------------------------------------------------------------------------------

    async def start(self, guest: Guest, *, fed: bool = True) -> None:
        """Run start section, `_initialize` and `conductor_v1_start`; then be fed, unless told to wait.

        Raises what the guest does; `ProgramCrashed` when its start answers anything but 0.
        """
        self._guest = guest
        await self._on_lane(self._start)
        if fed:
            await asyncio.to_thread(self.feed)

    def feed(self) -> None:
        """Let the pump bring records from now on. Raises `NotAllowed`, `KernelRefused`."""
        self._pump.switch(on=self.streams.subscriptions)
        self._is_fed = True

    def take_over(self, other: WasmInstance) -> None:
        """Be fed instead of another, at one position of each ring; the other keeps what waits for it."""
        self._pump.switch(off=other.streams.subscriptions, on=self.streams.subscriptions)
        self._is_fed, other._is_fed = True, False

    def inherit(self, ledger: Ledger) -> None:
        """Go on with the books of one that ended."""
        self._inherited.add(ledger)

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
        answer = await self._on_lane(self._tick)
        self._patience.note(throttled=self._patience.wait() > self._base_interval)
        if answer != 0:
            raise TickFailed(f"tick answered {answer}; conductor logs {self.name} may tell more")

    def cost(self) -> InstanceCost:
        """What it cost so far; memory and CPU as of the last call."""
        guest, ledger = self._guest, self.ledger()
        return InstanceCost(
            cpu_seconds=guest.cpu_seconds if guest else 0.0,
            memory_bytes=guest.memory_bytes if guest else 0,
            events_taken=ledger.taken,
            events_delivered=ledger.delivered,
            events_queued=ledger.queued,
            events_dropped=dict(ledger.dropped),
            kernel_losses=sum(one.count for one in self._losses) if self._losses else None,
        )

    def ledger(self) -> Ledger:
        """The books of all streams, and of those before it."""
        total = self.streams.ledger()
        total.add(self._inherited)
        return total

    def when_broken(self, wake: Callable[[], object]) -> None:
        """Have `wake` called, on any thread, when it fails between ticks: the next tick then says why."""
        self._wake = wake

    async def close(self) -> None:
        """Deliver what waits, let it save, and end it. Raises `ProgramStuck` when it did not return."""
        if self._closed:
            return
        self._closed = self._closing = True
        await asyncio.to_thread(self._pump.switch, off=self.streams.subscriptions)
        guest = self._guest
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._on_lane(self._finish, hurry_after=CLOSE_SECONDS - 1.0)
        except TimeoutError as exc:
            raise ProgramStuck(f"{self.name}: close did not return within {CLOSE_SECONDS:g} s") from exc
        finally:
            self.streams.end("closed")
            if guest is not None:
                guest.meter.hurried = True

    def abandon(self) -> None:
        """End it as soon as it lets itself be ended, for who does not wait any more."""
        guest = self._guest
        if guest is not None:
            guest.meter.hurried = True
            self._lane.post(guest.close)

    async def save(self) -> None:
        """Let it save state, where it can. Raises `ProgramCrashed` when it breaks over it."""
        guest = self._guest
        if guest is not None and guest.exports("conductor_v1_save") and guest.failure is None:
            await self._on_lane(self._save)

    async def is_healthy(self) -> bool:
        """Ask it, where it can tell. Raises why it is beyond use."""
        guest = self._guest
        if guest is not None and guest.failure is not None:
            raise guest.failure
        if guest is None or not guest.exports("conductor_v1_healthy"):
            return True
        return await self._on_lane(lambda: self._call("conductor_v1_healthy")) == 1

    # --- on the lane --------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        guest = self._guest
        assert guest is not None
        try:
            for one in self._losses:
                one.look()
            cpu, wall = self._limits.cpu_call, self._wall
            guest.start(cpu=cpu, wall=wall)
            for name in ("_initialize", "conductor_v1_start"):
                if guest.exports(name) and (answer := self._call(name)) and name != "_initialize":
                    raise ProgramCrashed(
                        f"conductor_v1_start answered {answer}; conductor logs {self.name} may tell more"
                    )
        except BaseException:
            guest.close()
            raise
        finally:
            self.streams.is_open = False
            self._patience.spend(guest.cpu_seconds)

    def _call(self, name: str, *arguments: int) -> int:
        guest = self._guest
        assert guest is not None
        before = guest.cpu_seconds
        try:
            return guest.call(name, *arguments, cpu=self._limits.cpu_call, wall=self._wall)
        except ConductorError as exc:
            if guest.cpu_seconds != before:
                self._log("error", str(exc))
            raise
        finally:
            self._patience.spend(guest.cpu_seconds - before)

    def _tick(self) -> int:
        for one in self._losses:
            one.look()
        return self._call("conductor_v1_tick", time.monotonic_ns())

    def _save(self) -> None:
        if answer := self._call("conductor_v1_save"):
            self._log("warning", f"conductor_v1_save answered {answer}: state may be missing")

    def _offered(self) -> None:
        """Take records soon; called by the pump."""
        if not self._draining:
            self._draining = True
            self._lane.post(self._drain)

    def _drain(self) -> None:
        guest = self._guest
        if guest is None or self._closing:
            return
        if (wait := self._patience.wait()) > 0:
            self._patience.note(throttled=True)
            self._lane.later(min(wait, 1.0), self._drain)
            return
        for _ in range(DRAIN_CALLS):
            if (stream := self.streams.waiting()) is None:
                break
            if not self._deliver(guest, stream):
                return
        self._draining = False
        if self.streams.waiting() is not None:
            self._offered()

    def _deliver(self, guest: Guest, stream: Stream) -> bool:
        """Hand over what fits into the buffer; answer whether the guest is still of use."""
        pieces = stream.inbox.take(stream.size)
        try:
            if guest.failure is not None:
                raise guest.failure
            assert guest.memory is not None
            size, records = bring(guest.memory, stream, pieces)
            answer = self._call("conductor_v1_events", stream.number, stream.buffer, size, records)
        except ConductorError as exc:
            reason = "quarantined" if isinstance(exc, BudgetExceeded) else "trap"
            stream.inbox.settle(pieces, dropped=reason)
            self.streams.end(reason)
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._wake()
            return False
        stream.inbox.settle(pieces)
        if answer != 0:
            self._log("warning", f"conductor_v1_events answered {answer} for {records} records of {stream.name}")
        return True

    def _finish(self) -> None:
        """Use it for the last time: records that wait, state, and the end."""
        guest = self._guest
        if guest is None:
            return
        end = time.monotonic() + DRAIN_SECONDS
        if self._given_up:
            self.streams.end("quarantined")
        try:
            while time.monotonic() < end and (stream := self.streams.waiting()) is not None:
                if not self._deliver(guest, stream):
                    break
            if guest.failure is None and guest.exports("conductor_v1_save"):
                self._save()
        except ConductorError:
            log.debug("%s broke while it ended", self.name, exc_info=True)
        finally:
            for one in self._losses:
                one.look()
            guest.close()

    async def _on_lane(self, job: Callable[[], T], *, hurry_after: float | None = None) -> T:
        """Do a job on the lane, and wait for it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def work() -> None:
            try:
                answer = job()
            except BaseException as exc:  # noqa: BLE001 - handed to who asked
                _tell(loop, future, None, exc)
            else:
                _tell(loop, future, answer, None)

        self._lane.post(work)
        hurry = None
        if hurry_after is not None and self._guest is not None:
            hurry = loop.call_later(hurry_after, setattr, self._guest.meter, "hurried", True)
        try:
            return await future
        finally:
            if hurry is not None:
                hurry.cancel()


def _tell(
    loop: asyncio.AbstractEventLoop, future: asyncio.Future[T], answer: T | None, failure: BaseException | None
) -> None:
    def settle() -> None:
        if future.done():
            return
        if failure is None:
            future.set_result(answer)  # type: ignore[arg-type] # None only where T allows it
        elif isinstance(failure, Exception):
            future.set_exception(failure)
        else:
            future.set_exception(ProgramCrashed(f"the host raised {type(failure).__name__}"))

    if not loop.is_closed():
        loop.call_soon_threadsafe(settle)


def _nothing() -> None:
    """Nobody wants to be told."""
