"""One instance's place at the pump: from whom it takes over, and to whom it leaves what waits."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from conductor.wasm.losses import LossCounters
from conductor.wasm.pump import Pump
from conductor.wasm.shelf import Kept, Shelf
from conductor.wasm.streams import Streams

__all__ = ["Feed"]


class Feed:
    """Own whether an instance is fed. Everything here may block for as long as the pump makes a round."""

    __slots__ = ("__weakref__", "_before", "_name", "_pump", "_shelf", "is_on", "is_over", "losses", "streams")

    def __init__(self, *, name: str, pump: Pump, shelf: Shelf, streams: Streams, losses: LossCounters) -> None:
        self._name, self._pump, self._shelf = name, pump, shelf
        self.streams, self.losses = streams, losses
        self.is_on = False
        """The pump brings records."""
        self.is_over = False
        """It stepped down for good."""
        self._before: Callable[[], Feed | None] = _nobody
        """Whose streams it took over: it gets them back if this one ends first."""

    def begin(self) -> None:
        """Be fed, after what an instance before left. Raises `NotAllowed`, `KernelRefused`."""
        kept = self._shelf.take(self._name)
        try:
            self.switch(None if kept is None else kept.streams)
        except BaseException:
            if kept is not None:
                self._shelf.put(self._name, kept)
            raise
        if kept is not None:
            kept.streams.end("closed")  # those of rings that it does not read
            self.streams.inherit(kept.streams.left())

    def take_over(self, other: Feed, *, with_waiting: bool) -> None:
        """Be fed instead of another, at one position of each ring; it keeps what waits for it, or hands it over."""
        if with_waiting:
            self.switch(other.streams)
        else:
            self._pump.switch(off=other.streams.subscriptions, on=self.streams.subscriptions)
        self.is_on, other.is_on = True, False
        self.losses.begin_after(other.losses)
        self._before = weakref.ref(other)

    def inherit(self, other: Feed) -> None:
        """Go on with the books of one that ended."""
        self.streams.inherit(other.streams.ledgers())

    def step_down(self, *, stays: bool) -> None:
        """Be fed no more; whose streams were taken over gets them back, with what waits here.

        One that `stays` keeps its place at rings that others read, so that its next instance misses nothing.
        """
        self.is_over = True
        if self._gave_back():
            return
        if self.is_on and stays:
            self._pump.switch(resting=self.streams.subscriptions)
        else:
            self._pump.switch(off=self.streams.subscriptions)

    def leave(self) -> bool:
        """Leave what waits to the next instance; False where nothing can be."""
        if not self.is_on or not len(self.streams):
            return False
        self.streams.leave()
        self._shelf.put(self._name, Kept(self.streams, self.losses.last))
        return True

    def end(self, *, lost: bool = False) -> None:
        """Drop what waits; with `lost` what a call holds that does not return, too."""
        self._pump.switch(off=self.streams.subscriptions)
        self.streams.end("closed", lost=lost)

    def switch(self, before: Streams | None) -> None:
        """Be fed instead of another, whose waiting records come first."""
        mine = self.streams
        if before is None:
            self._pump.switch(on=mine.subscriptions)
        else:
            self._pump.switch(off=before.subscriptions, on=mine.subscriptions, between=lambda: mine.receive(before))
        self.is_on = True

    def _gave_back(self) -> bool:
        before, self._before = self._before(), _nobody
        if before is None or before.is_over or not self.is_on:
            return False
        before.switch(self.streams)
        before.losses.go_on_after(self.losses)
        self.is_on = False
        return True


def _nobody() -> None:
    """It took over from nobody."""
