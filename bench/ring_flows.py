"""The producer of the ring buffer bench, and what became of what it sent."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench.ring_consumers import Consumer, said
from conductor.bpf.maps import open_map
from conductor.model.grants import Access

__all__ = ["Flow", "Producer"]

BATCH = 100
"""Records of one run of its programs, as in events.bpf.c."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One flow and where its records went; it balances, or the bench ends."""

    sent: int
    lost: int
    """The ring was full."""
    delivered: int
    dropped: int
    """Taken from the ring and not delivered."""
    seconds: float

    @property
    def rate(self) -> float:
        """Million sent a second."""
        return self.sent / self.seconds / 1e6

    def checked(self) -> Self:
        if self.sent != self.lost + self.delivered + self.dropped:
            raise SystemExit(f"the books do not balance: {self}")
        return self


class Producer:
    """A process that runs the programs of events.bpf.c."""

    def __init__(self, *, process: subprocess.Popen[str], bpffs: Path) -> None:
        self._process, self._bpffs = process, bpffs

    @classmethod
    @contextmanager
    def started(cls, program: Path, bpffs: Path) -> Iterator[Self]:
        with subprocess.Popen([program, bpffs], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield cls(process=process, bpffs=bpffs)
            finally:
                process.kill()

    async def fill(self, batches: int, consumer: Consumer) -> tuple[float, float]:
        """Fill the ring, then wake the consumer; answer nanoseconds a record from there to the last one, and of CPU."""
        records, before = batches * BATCH + 1, self._lost()
        await consumer.expect(records)
        woken = int(said(self._process, f"fill {batches}")[0])
        last, cpu = await consumer.last()
        if self._lost() != before:
            raise SystemExit("the ring is too small for the filling")
        return (last - woken) / records, cpu / records

    async def flow(self, rate: float, millis: int, consumer: Consumer, *, program: str = "flow") -> Flow:
        """Send records at a rate in millions a second (0: as fast as can be)."""
        lost, delivered, dropped = self._lost(), *await consumer.books()
        sent, took = said(self._process, f"{program} {rate * 1e6:.0f} {millis}")
        lost, now = self._lost() - lost, await consumer.books()
        return Flow(
            sent=int(sent),
            lost=lost,
            delivered=now[0] - delivered,
            dropped=now[1] - dropped,
            seconds=int(took) / 1e9,
        ).checked()

    def _lost(self) -> int:
        with open_map(self._bpffs / "lost", Access.READ) as map_:
            return int.from_bytes(map_.lookup(bytes(4)) or b"", "little")
