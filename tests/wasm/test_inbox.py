"""Inboxes without a kernel: what is taken, handed over, left behind and written off."""

from __future__ import annotations

import struct

import numpy as np

from conductor.wasm.copies import Copies
from conductor.wasm.inbox import Inbox, Ledger, Piece, Room

SIZE = 24
"""Bytes of a record with its header."""


def records(count: int) -> Piece:
    """Records of 16 bytes side by side."""
    raw = np.frombuffer(b"".join(struct.pack("<IIQQ", 16, 0, i, 0) for i in range(count)), np.uint8)
    copy = Copies(most=1 << 20).copied(raw.ctypes.data, len(raw))
    return Piece(copy, copy.address, len(raw), count)


def inbox(room: int = 1 << 20, most_piece: int = 1 << 16) -> Inbox:
    return Inbox(room=Room(room), most_piece=most_piece, on_offer=lambda: None)


def balanced(books: Ledger) -> bool:
    return books.taken == books.delivered + books.queued + sum(books.dropped.values())


def test_what_has_no_room_is_dropped() -> None:
    one = inbox(room=10 * SIZE)
    one.offer(records(10))
    one.offer(records(1))
    assert one.ledger() == Ledger(taken=11, queued=10, dropped=one.ledger().dropped)
    assert one.ledger().dropped == {"inbox_full": 1}
    one.settle(one.take(1 << 16))
    one.offer(records(10))
    assert one.ledger().queued == 10


def test_what_is_handed_over_changes_the_books_of_both() -> None:
    one, two = inbox(), inbox()
    one.offer(records(5))
    held = one.take(1 << 16)
    one.offer(records(7))
    one.hand_over(two)
    one.settle(held, dropped="trap")
    assert (one.ledger().taken, one.ledger().queued, one.ledger().dropped) == (5, 0, {"trap": 5})
    assert (two.ledger().taken, two.ledger().queued) == (7, 7)
    assert balanced(one.ledger())
    assert balanced(two.ledger())


def test_pieces_are_cut_for_a_smaller_buffer() -> None:
    one, two = inbox(), inbox(most_piece=5 * SIZE + 3)
    one.offer(records(12))
    one.hand_over(two)
    assert [piece.count for piece in two.take(1 << 16)] == [5, 5, 2]
    three, four = inbox(), inbox(most_piece=SIZE - 1)
    three.offer(records(2))
    three.hand_over(four)
    assert four.ledger().dropped == {"too_large": 2}


def test_who_leaves_keeps_its_books_and_begins_new_ones_with_what_waits() -> None:
    one = inbox()
    one.offer(records(3))
    one.settle(one.take(1 << 16))
    one.offer(records(4))
    left = one.leave()
    assert (left.taken, left.delivered, left.queued) == (7, 3, 4)
    one.offer(records(2))
    assert (one.ledger().taken, one.ledger().queued) == (6, 6)


def test_what_a_call_holds_that_never_returns_is_written_off_once() -> None:
    one = inbox()
    one.offer(records(3))
    held = one.take(1 << 16)
    one.offer(records(2))
    one.end("closed", lost=True)
    assert one.ledger().dropped == {"closed": 5}
    one.settle(held)  # it did return, much later
    one.offer(records(1))
    assert one.ledger().dropped == {"closed": 6}
    assert balanced(one.ledger())


def test_ending_one_that_is_empty_names_no_reason() -> None:
    one = inbox()
    one.end("closed")
    assert one.ledger() == Ledger()
