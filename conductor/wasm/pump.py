"""The pump: the one consumer of each ring buffer; it copies records out and hands them to every program granted it.

Headers show how far records are committed, and only then are they copied: a record's BUSY bit is seen clear before its
data is read (see `runs.py` and `walker.wat`, and `fence.py` for processors that reorder loads). After that the ring is
given back; a slow program holds up its own inbox and nothing else. Where nobody has room records stay in the ring until
it is half full; past that it is emptied to a quarter, and what has no room is dropped: what the ring refuses only the
kernel half could count.
"""

from __future__ import annotations

import ctypes
import logging
import os
import select
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from conductor.model.ids import MapId
from conductor.ports import RingHandle
from conductor.wasm.copies import Copies
from conductor.wasm.engine import Engine
from conductor.wasm.fence import Fence, is_ordered
from conductor.wasm.inbox import Inbox, Piece
from conductor.wasm.runs import Run, run_of, words_at
from conductor.wasm.walker import COPY_BYTES, Walked, Walker

__all__ = ["Pump", "Subscription"]

LOOK_SECONDS: Final = 1.0
REST_SECONDS: Final = 0.001
"""Between rounds: records gather meanwhile, and the kernel wakes nobody for each of them."""
_BUSY, _LENGTH = 1 << 31, (1 << 30) - 1
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Subscription:
    """One program's share in a ring buffer."""

    map_id: MapId
    ring: Callable[[], RingHandle]
    """Maps the ring; used if nobody has it yet."""
    inbox: Inbox


@dataclass(slots=True)
class _Ring:
    handle: RingHandle
    subscriptions: list[Subscription] = field(default_factory=list)
    resting: set[Subscription] = field(default_factory=set)
    """Those of programs that do not run just now: they get records as long as somebody else wants them."""
    words: NDArray[np.uint32] = field(init=False)
    """Its data, twice in a row; touched no more once the handle is closed."""

    def __post_init__(self) -> None:
        self.words = words_at(self.handle.data, 2 * self.handle.size)


class Pump:
    """Own the rings by map id, and the thread that empties them while there are any."""

    def __init__(self, *, engine: Engine, fences: bool | None = None) -> None:
        self._walker = Walker(engine=engine)
        self.fence = Fence(real=not is_ordered() if fences is None else fences)
        self._copies = Copies(most=COPY_BYTES)
        self._rings: dict[MapId, _Ring] = {}
        self._lock = threading.Lock()
        self._poll: select.epoll | None = None
        self._alarm = -1
        """eventfd: ends the thread's wait."""
        self._thread: threading.Thread | None = None

    def switch(
        self,
        *,
        off: Sequence[Subscription] = (),
        on: Sequence[Subscription] = (),
        resting: Sequence[Subscription] = (),
        between: Callable[[], None] | None = None,
    ) -> None:
        """Take some off and put others on, at one position of each ring: no record comes twice or is left out.

        `resting` ones stay on as long as another program reads their ring; a ring that nobody else reads keeps its
        records. `between` is called while nothing is offered. Raises `NotAllowed`, `KernelRefused` where a ring cannot
        be mapped; nothing has changed then.
        """
        with self._lock:
            fresh = self._mapped(on)
            for map_id, handle in fresh.items():
                self._rings[map_id] = _Ring(handle)
            for one in on:
                self._rings[one.map_id].subscriptions.append(one)
            for one in off:
                if (ring := self._rings.get(one.map_id)) is not None and one in ring.subscriptions:
                    ring.subscriptions.remove(one)
                    ring.resting.discard(one)
            for one in resting:
                if (ring := self._rings.get(one.map_id)) is not None and one in ring.subscriptions:
                    ring.resting.add(one)
            for map_id in [at for at, ring in self._rings.items() if len(ring.resting) == len(ring.subscriptions)]:
                self._close(self._rings.pop(map_id))
            self._watch(fresh)
            if between is not None:
                between()

    def close(self) -> None:
        """Give up all rings; what is still in them stays for whoever comes next."""
        with self._lock:
            rings, self._rings = list(self._rings.values()), {}
            for ring in rings:
                self._close(ring)
            thread, self._thread = self._thread, None
            if self._alarm >= 0:
                os.eventfd_write(self._alarm, 1)
        if thread is not None:
            thread.join(2 * LOOK_SECONDS)
        with self._lock:
            self._walker.close()
            self.fence.close()
            poll, self._poll = self._poll, None
            if poll is not None:
                poll.close()
                os.close(self._alarm)

    def _mapped(self, on: Sequence[Subscription]) -> dict[MapId, RingHandle]:
        fresh: dict[MapId, RingHandle] = {}
        try:
            for one in on:
                if one.map_id not in self._rings and one.map_id not in fresh:
                    fresh[one.map_id] = one.ring()
        except BaseException:
            for handle in fresh.values():
                handle.close()
            raise
        return fresh

    def _watch(self, fresh: dict[MapId, RingHandle]) -> None:
        if not fresh:
            return
        if self._poll is None:
            self._poll = select.epoll()
            self._alarm = os.eventfd(0)
            self._poll.register(self._alarm, select.EPOLLIN | select.EPOLLET)
            self._walker.open()
            self.fence.open()
        for handle in fresh.values():
            self._poll.register(handle.fileno(), select.EPOLLIN)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="wasm-pump", daemon=True)
            self._thread.start()

    def _close(self, ring: _Ring) -> None:
        if self._poll is not None:
            with suppress(OSError, ValueError):
                self._poll.unregister(ring.handle.fileno())
        ring.handle.close()

    def _run(self) -> None:
        me = threading.current_thread()
        poll = self._poll
        assert poll is not None
        while True:
            with suppress(InterruptedError):
                if not poll.poll(LOOK_SECONDS):
                    self._copies.forget()
            with self._lock:
                if self._thread is not me or not self._rings:
                    self._thread = None if self._thread is me else self._thread
                    return
                is_full = False
                for map_id, ring in tuple(self._rings.items()):
                    try:
                        is_full |= self._round(ring)
                    except Exception:
                        log.exception("ring buffer %d cannot be read any more", map_id)
                        self._close(self._rings.pop(map_id))
            if not is_full:
                time.sleep(REST_SECONDS)

    def _round(self, ring: _Ring) -> bool:
        """Empty a ring once; answer whether it is likely to be filling up meanwhile."""
        handle = ring.handle
        consumer, producer = handle.positions()
        waiting = producer - consumer
        if waiting <= 0 or (most := self._most(ring, waiting)) <= 0:
            return False
        self.fence.wait()  # the producer's position was seen: now headers
        start = handle.data + consumer % handle.size
        found = self._found(ring, consumer % handle.size, min(waiting, COPY_BYTES), most)
        if found.size == 0:
            return self._skip_giant(ring, start, consumer, waiting)
        cuts = {most: found.pieces(most) for most in {one.inbox.most_piece for one in ring.subscriptions}}
        self.fence.wait()  # headers were seen without BUSY: now the data
        records = self._copies.copied(start, found.size)
        self.fence.wait()  # all was read: the kernel may have it back
        for one in ring.subscriptions:
            for low, high, count in cuts[one.inbox.most_piece]:
                if count < 0:
                    one.inbox.refuse(1, "too_large")
                else:
                    one.inbox.offer(Piece(records, records.address + low, high - low, count))
        handle.commit(consumer + found.size)
        return found.size > handle.size // 8 or waiting > COPY_BYTES

    @staticmethod
    def _most(ring: _Ring, waiting: int) -> int:
        """How much to take: what somebody has room for; of a ring that stays past its half, so much that a quarter stays.

        0 where nobody has room for a piece while the ring still has: what waits there a moment may be taken yet.
        """
        half = ring.handle.size // 2
        inboxes = [one.inbox for one in ring.subscriptions if one not in ring.resting]
        rooms = [inbox.room() for inbox in inboxes]
        if waiting > half:
            room = max(rooms)
            return room if waiting - room <= half else max(room, waiting - half // 2)
        wanted = [min(waiting, COPY_BYTES, inbox.most_piece) for inbox in inboxes]
        return max(room if room >= piece else 0 for room, piece in zip(rooms, wanted, strict=True))

    def _found(self, ring: _Ring, offset: int, size: int, most: int) -> Run | Walked:
        """Find committed records within `most` bytes of the ring's head; one that is larger by itself."""
        end = min(size, most)
        start = ring.handle.data + offset
        found = run_of(ring.words, offset, offset + end) or self._walker.survey(start, end)
        if found.size == 0 and end < size:
            found = self._walker.survey(start, size, records=1)
        return found

    def _skip_giant(self, ring: _Ring, start: int, consumer: int, waiting: int) -> bool:
        """Drop a committed record that is larger than all that is ever copied; anything else is not committed yet."""
        header = ctypes.c_uint32.from_address(start).value
        length = (header & _LENGTH) + 15 & ~7
        if waiting < COPY_BYTES or header & _BUSY or length <= COPY_BYTES:
            return False
        for one in ring.subscriptions:
            one.inbox.refuse(1, "too_large")
        self.fence.wait()
        ring.handle.commit(consumer + length)
        return True
