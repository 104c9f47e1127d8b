"""The streams of one instance: which ring buffer goes to which buffer in guest memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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

    __slots__ = ("_all", "_names", "_on_offer", "_room", "is_open")

    def __init__(self, *, inbox_bytes: int, on_offer: Callable[[], None]) -> None:
        self._room = Room(inbox_bytes)
        self._on_offer = on_offer
        self._all: list[Stream] = []
        self._names: dict[int, str] = {}
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

    def open(self, handle: MapHandle, buffer: int, size: int) -> int:
        """Have a ring's records brought to a buffer. Raises `Refused`."""
        info = handle.info
        if not self.is_open or any(one.subscription.map_id == info.id for one in self._all):
            raise Refused(Error.STATE)
        if len(self._all) >= STREAMS:
            raise Refused(Error.BUDGET)
        most = min(size, max(_LEAST_PIECE, self._room.most // 4))
        inbox = Inbox(room=self._room, most_piece=most, on_offer=self._on_offer)
        subscription = Subscription(info.id, handle.ring, inbox)
        self._all.append(Stream(len(self._all), info.name, buffer, size, inbox, subscription))
        return self._all[-1].number

    def waiting(self) -> Stream | None:
        """Answer a stream that has records; None when all is delivered."""
        return next((stream for stream in self._all if stream.inbox.has_pieces()), None)

    def end(self, reason: str) -> None:
        """Drop what waits, for a reason."""
        for stream in self._all:
            stream.inbox.end(reason)

    def ledger(self) -> Ledger:
        """Sum the books of all streams."""
        total = Ledger()
        for stream in self._all:
            total.add(stream.inbox.ledger())
        return total


def bring(memory: GuestMemory, stream: Stream, pieces: list[Piece]) -> tuple[int, int]:
    """Copy pieces into the stream's buffer; answer bytes and records."""
    size = 0
    at = memory.at(stream.buffer, stream.size)
    for piece in pieces:
        move(at + size, piece.address, piece.size)
        size += piece.size
    return size, sum(piece.count for piece in pieces)
