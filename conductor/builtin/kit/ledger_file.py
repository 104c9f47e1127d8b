"""A ledger as bytes, for a program's state cell."""

from __future__ import annotations

import json
import zlib

import numpy as np

from conductor.builtin.kit.ledger import NOWHERE, Ledger, Origin

__all__ = ["restore", "save"]

VERSION = 1


def save(ledger: Ledger, origin: str, *, is_final: bool) -> bytes:
    """Write down totals and entries of one origin. `is_final`: nothing of them will be shown that is not in here."""
    entries = ledger.origin
    head = {
        "version": VERSION,
        "origin": origin,
        "is_final": is_final,
        "shape": [ledger.width, ledger.counters, len(entries.row)],
        "losses": [ledger.losses, ledger.losses_seen],
        "rows": [row for row, _ in sorted(ledger.rows.items(), key=lambda item: item[1])],
    }
    parts = (ledger.totals, entries.keys.raw(), entries.seen, entries.row.astype(np.int32))
    body = b"".join(part if isinstance(part, bytes) else part.tobytes() for part in parts)
    return zlib.compress(json.dumps(head).encode() + b"\n" + body, 1)


def restore(state: bytes | None, *, origin: str, width: int, counters: int, now: float) -> Ledger:
    """Take up a ledger where `save` left it, for the map `origin`.

    Of another map's ledger only final totals are taken: else it is not known what was shown of them, and counting
    starts at 0. From a state that cannot be read, counting starts at the first reading.
    """
    if state is None:
        return Ledger(width=width, counters=counters)
    try:
        return _restored(zlib.decompress(state), origin, width, counters, now)
    except (zlib.error, ValueError, KeyError, TypeError, IndexError):
        fresh = Ledger(width=width, counters=counters)
        fresh.subtract_first = True
        return fresh


def _restored(data: bytes, origin: str, width: int, counters: int, now: float) -> Ledger:
    line, _, body = data.partition(b"\n")
    head = json.loads(line)
    rows = [tuple(map(str, row)) for row in head["rows"]]
    if head["version"] != VERSION or head["shape"][:2] != [width, counters]:
        raise ValueError("another layout")
    entries = int(head["shape"][2])
    sizes = np.cumsum([len(rows) * counters * 8, entries * width, entries * counters * 8, entries * 4])
    totals, keys, seen, row = (body[low:high] for low, high in zip([0, *sizes], sizes, strict=False))
    if len(body) != sizes[-1]:
        raise ValueError("cut short")
    ledger = Ledger(width=width, counters=counters)
    is_same = head["origin"] == origin
    if is_same or head["is_final"]:
        ledger.row_numbers(rows, now)
        ledger.totals = np.frombuffer(totals, np.uint64).reshape(-1, counters).copy()
        ledger.losses = [int(lost) for lost in head["losses"][0]]
        ledger.losses_seen = [0] * len(ledger.losses)
    if is_same:
        ledger.losses_seen = [int(lost) for lost in head["losses"][1]]
        _fill(ledger.origin, keys, seen, row, now)
        ledger.resumed = True
        if np.any(ledger.origin.row >= len(rows)):
            raise ValueError("an entry in no row")
    return ledger


def _fill(origin: Origin, keys: bytes, seen: bytes, row: bytes, now: float) -> None:
    origin.reading(keys, np.zeros((len(row) // 4, origin.seen.shape[1]), np.uint64), now)
    origin.seen = np.frombuffer(seen, np.uint64).reshape(origin.seen.shape).copy()
    origin.row = np.maximum(np.frombuffer(row, np.int32), NOWHERE).astype(np.int64)
