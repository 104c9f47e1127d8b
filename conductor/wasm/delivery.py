"""Records on their last step: from the inboxes of one instance into its memory, as far as its budgets allow."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from conductor.errors import BudgetExceeded, ConductorError
from conductor.ports import LogSink
from conductor.wasm.caller import Caller
from conductor.wasm.lane import Lane
from conductor.wasm.patience import Patience
from conductor.wasm.streams import Stream, Streams, bring

__all__ = ["Delivery"]

CALLS: Final = 16
"""Deliveries in a row before ticks get their turn."""


class Delivery:
    """Own the streams of one instance, and bring what waits in them while it runs."""

    __slots__ = ("_caller", "_lane", "_log", "_patience", "_posted", "streams", "wake")

    def __init__(self, *, lane: Lane, patience: Patience, log_sink: LogSink, inbox_bytes: int) -> None:
        self._lane, self._patience, self._log = lane, patience, log_sink
        self.streams = Streams(inbox_bytes=inbox_bytes, on_offer=self._offered)
        self._caller: Caller | None = None
        self._posted = False
        self.wake: Callable[[], object] = _nothing
        """Called when the guest is beyond use: on any thread."""

    def begin(self, caller: Caller) -> None:
        """Deliver to this guest from now on."""
        self._caller = caller

    def stop(self) -> None:
        """Begin no delivery any more; records wait."""
        self._caller = None

    def finish(self, caller: Caller, seconds: float) -> None:
        """Deliver what waits, for so long. Used on the lane, after `stop`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and (stream := self.streams.waiting()) is not None:
            if not self._deliver(caller, stream):
                break

    def _offered(self) -> None:
        """Take records soon; called by the pump."""
        if not self._posted:
            self._posted = True
            self._lane.post(self._drain)

    def _drain(self) -> None:
        caller = self._caller
        if caller is None:
            return
        if caller.guest.failure is not None:
            self._tell()
            return
        if (wait := self._patience.wait()) > 0:
            self._patience.note(throttled=True)
            self._lane.later(min(wait, 1.0), self._drain)
            return
        for _ in range(CALLS):
            if (stream := self.streams.waiting()) is None:
                break
            if not self._deliver(caller, stream):
                return
        self._posted = False
        if self.streams.waiting() is not None:
            self._offered()

    def _deliver(self, caller: Caller, stream: Stream) -> bool:
        """Hand over what fits into the buffer; answer whether the guest is still of use.

        What it breaks over is dropped: the next instance would break over it, too. The rest waits for that one.
        """
        guest = caller.guest
        if guest.failure is not None:
            return False
        pieces = stream.inbox.take(stream.size)
        try:
            assert guest.memory is not None
            size, records = bring(guest.memory, stream, pieces)
            answer = caller.call("conductor_v1_events", stream.number, stream.buffer, size, records)
        except ConductorError as exc:
            stream.inbox.settle(pieces, dropped="quarantined" if isinstance(exc, BudgetExceeded) else "trap")
            self._tell()
            return False
        stream.inbox.settle(pieces)
        if answer != 0:
            self._log("warning", f"conductor_v1_events answered {answer} for {records} records of {stream.name}")
        return True

    def _tell(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.wake()


def _nothing() -> None:
    """Nobody wants to be told."""
