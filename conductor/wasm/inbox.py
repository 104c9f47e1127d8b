"""Records on their way to one program, and the books of them: taken = delivered + dropped + queued, always."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from conductor.model.status import StreamCost
from conductor.wasm.copies import Copy
from conductor.wasm.cutting import cut

__all__ = ["Inbox", "Ledger", "Piece", "Room"]


_ANY: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole records side by side within a copy that several programs may share."""

    copy: Copy = field(repr=False)
    """Keeps the address alive."""
    address: int
    size: int
    count: int
    """Records that are not discarded."""


class Room:
    """Bytes that all inboxes of one program share."""

    def __init__(self, most: int) -> None:
        self.most, self._used = most, 0
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Take room; False where there is not enough."""
        with self._lock:
            fits = self._used + size <= self.most
            self._used += size if fits else 0
            return fits

    def left(self) -> int:
        """Bytes that could be taken now."""
        return self.most - self._used

    def give(self, size: int) -> None:
        """Give room back."""
        with self._lock:
            self._used -= size


@dataclass(slots=True)
class Ledger:
    """Counts of records."""

    taken: int = 0
    delivered: int = 0
    queued: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def add(self, other: Ledger) -> None:
        """Add another's counts."""
        self.taken += other.taken
        self.delivered += other.delivered
        self.queued += other.queued
        self.dropped.update(other.dropped)

    def cost(self, kernel_losses: int | None = None) -> StreamCost:
        """Answer them as they are shown."""
        return StreamCost(
            taken=self.taken,
            delivered=self.delivered,
            queued=self.queued,
            dropped=dict(self.dropped),
            kernel_losses=kernel_losses,
        )


class Inbox:
    """Records of one stream. The pump offers, the program's own thread takes; both may at once."""

    def __init__(self, *, room: Room, most_piece: int, on_offer: Callable[[], None]) -> None:
        self.most_piece = most_piece
        """A piece is at most this large."""
        self._room, self._on_offer = room, on_offer
        self._pieces: deque[Piece] = deque()
        self._ledger = Ledger()
        self._lock = threading.Lock()
        self._closed_for = ""
        self._is_lost = False

    def offer(self, piece: Piece) -> None:
        """Queue a piece, or drop it where there is no room."""
        with self._lock:
            self._ledger.taken += piece.count
            if self._closed_for or not self._room.take(piece.size):
                self._ledger.dropped[self._closed_for or "inbox_full"] += piece.count
                return
            self._pieces.append(piece)
            self._ledger.queued += piece.count
        self._on_offer()

    def room(self) -> int:
        """Bytes that would be settled at once: queued, or, where the program ended, dropped."""
        return _ANY if self._closed_for else self._room.left()

    def refuse(self, count: int, reason: str) -> None:
        """Count records that were taken from the ring and cannot be delivered."""
        with self._lock:
            self._ledger.taken += count
            self._ledger.dropped[reason] += count

    def take(self, room: int) -> list[Piece]:
        """Answer the next pieces that fit into `room` bytes; they stay queued in the books until `settle`."""
        found: list[Piece] = []
        with self._lock:
            while self._pieces and self._pieces[0].size <= room:
                found.append(self._pieces.popleft())
                room -= found[-1].size
        return found

    def settle(self, pieces: list[Piece], dropped: str = "") -> None:
        """Say what became of taken pieces: delivered, or dropped for a reason."""
        count = sum(piece.count for piece in pieces)
        with self._lock:
            if self._is_lost:
                return
            self._ledger.queued -= count
            if not dropped:
                self._ledger.delivered += count
            elif count:
                self._ledger.dropped[dropped] += count
        self._room.give(sum(piece.size for piece in pieces))

    def end(self, reason: str, *, lost: bool = False) -> None:
        """Drop what is queued, and whatever still comes; with `lost` also what was taken and never settled."""
        with self._lock:
            self._closed_for = self._closed_for or reason
            pieces, self._pieces = list(self._pieces), deque()
        self.settle(pieces, dropped=reason)
        with self._lock:
            self._is_lost = self._is_lost or lost
            if lost and self._ledger.queued:
                self._ledger.dropped[reason] += self._ledger.queued
                self._ledger.queued = 0

    def leave(self) -> Ledger:
        """Close the books of an instance that ended: what waits begins new ones, and nobody is told of more."""
        with self._lock:
            self._on_offer = _nobody
            books, queued = self._ledger, self._ledger.queued
            self._ledger = Ledger(taken=queued, queued=queued)
            return Ledger(books.taken, books.delivered, queued, books.dropped)

    def hand_over(self, to: Inbox) -> None:
        """Give what waits to another; it is no longer in these books then. Nothing may be offered meanwhile."""
        with self._lock:
            pieces, self._pieces = list(self._pieces), deque()
            count = sum(piece.count for piece in pieces)
            self._ledger.taken -= count
            self._ledger.queued -= count
        self._room.give(sum(piece.size for piece in pieces))
        for piece in pieces:
            if piece.size <= to.most_piece:
                to.offer(piece)
                continue
            for low, high, records in cut(piece.address, piece.size, to.most_piece):
                if records < 0:
                    to.refuse(1, "too_large")
                else:
                    to.offer(Piece(piece.copy, piece.address + low, high - low, records))

    def has_pieces(self) -> bool:
        """Whether something waits."""
        return bool(self._pieces)

    def ledger(self) -> Ledger:
        """Copy the books."""
        with self._lock:
            books = self._ledger
            return Ledger(books.taken, books.delivered, books.queued, Counter(books.dropped))


def _nobody() -> None:
    """Nobody waits for records."""
