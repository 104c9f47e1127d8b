"""The streams of one instance: which ring buffer goes to which buffer in guest memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from conductor.ports import MapHandle
from conductor.wasm.abi import Error
from conductor.wasm.inbox import Inbox, Ledger, Piece, Room
from conductor.wasm.memory import GuestMemory, Refused, move
from conductor.wasm.pump import Subscription

__all__ = ["Stream", "Streams", "bring"]

STREAMS: Final = 16
_LEAST_PIECE: Final = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """One stream: its number, its buffer in guest memory, and where its records wait."""

    number: int
    name: str
    buffer: int
    size: int
    inbox: Inbox
    subscription: Subscription


class Streams:
    """Own the streams of one instance. Made while it starts, by its own thread."""

    __slots__ = ("_all", "_closed_books", "_inherited", "_on_offer", "_room", "_turn", "is_open")

    def __init__(self, *, inbox_bytes: int, on_offer: Callable[[], None]) -> None:
        self._room = Room(inbox_bytes)
        self._on_offer = on_offer
        self._all: list[Stream] = []
        self._turn = 0
        self._inherited: dict[str, Ledger] = {}
        self._closed_books: dict[str, Ledger] | None = None
        self.is_open = True
        """Streams may be opened: while the program starts."""

    def __iter__(self) -> Iterator[Stream]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    @property
    def subscriptions(self) -> list[Subscription]:
        """What the pump is to know."""
        return [stream.subscription for stream in self._all]

    def open(self, name: str, handle: MapHandle, buffer: int, size: int) -> int:
        """Have a ring's records brought to a buffer. Raises `Refused`."""
        info = handle.info
        if not self.is_open or any(one.subscription.map_id == info.id for one in self._all):
            raise Refused(Error.STATE)
        if len(self._all) >= STREAMS:
            raise Refused(Error.BUDGET)
        most = min(size, max(_LEAST_PIECE, self._room.most // 4))
        inbox = Inbox(room=self._room, most_piece=most, on_offer=self._on_offer)
        subscription = Subscription(info.id, handle.ring, inbox)
        self._all.append(Stream(len(self._all), name, buffer, size, inbox, subscription))
        return self._all[-1].number

    def waiting(self) -> Stream | None:
        """Answer a stream that has records, each in its turn; None when all is delivered."""
        for _ in self._all:
            self._turn = (self._turn + 1) % len(self._all)
            if (stream := self._all[self._turn]).inbox.has_pieces():
                return stream
        return None

    def end(self, reason: str, *, lost: bool = False) -> None:
        """Drop what waits, for a reason; with `lost` what is being delivered, too."""
        for stream in self._all:
            stream.inbox.end(reason, lost=lost)

    def receive(self, before: Streams) -> None:
        """Take what waits in another's inboxes, ring by ring. The pump must stand still."""
        mine = {one.subscription.map_id: one.inbox for one in self._all}
        for one in before:
            if (inbox := mine.get(one.subscription.map_id)) is not None:
                one.inbox.hand_over(inbox)

    def inherit(self, books: Mapping[str, Ledger]) -> None:
        """Go on with the books of one that ended."""
        for name, ledger in books.items():
            self._inherited.setdefault(name, Ledger()).add(ledger)

    def leave(self) -> None:
        """Close the books; what waits, and what may still come, is for the next instance to `receive`."""
        self._on_offer = _nobody
        self._closed_books, inherited = {}, self._inherited
        for one in self._all:
            self._closed_books.setdefault(one.name, Ledger()).add(one.inbox.leave())
        for name, ledger in inherited.items():
            self._closed_books.setdefault(name, Ledger()).add(ledger)
        self._inherited = {}

    def left(self) -> dict[str, Ledger]:
        """Books since `leave`."""
        return self._summed()

    def ledgers(self) -> dict[str, Ledger]:
        """Books by stream, those of whom it inherited from too; as they were when it left, if it did."""
        return self._summed() if self._closed_books is None else self._closed_books

    def _summed(self) -> dict[str, Ledger]:
        books: dict[str, Ledger] = {}
        for one in self._all:
            books.setdefault(one.name, Ledger()).add(one.inbox.ledger())
        for name, ledger in self._inherited.items():
            books.setdefault(name, Ledger()).add(ledger)
        return books


def _nobody() -> None:
    """Nobody waits for records."""


def bring(memory: GuestMemory, stream: Stream, pieces: list[Piece]) -> tuple[int, int]:
    """Copy pieces into the stream's buffer; answer bytes and records."""
    size = 0
    at = memory.at(stream.buffer, stream.size)
    for piece in pieces:
        move(at + size, piece.address, piece.size)
        size += piece.size
    return size, sum(piece.count for piece in pieces)
