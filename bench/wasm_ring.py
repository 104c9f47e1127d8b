"""64-byte records of a ring buffer to a guest, and to a C consumer through libbpf, which sum the same field.

Drained: the producer fills the ring quietly, then wakes its consumer; from the wake to the last record. Flood: the
producer runs as fast as it can. Steady: the fastest paced flow of which nothing is lost, neither in the ring (counted by
the kernel half) nor behind it (our ledger, which has to balance each time).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from bench.ring_consumers import Consumer, Ours, Theirs
from bench.ring_flows import Flow, Producer
from bench.table import Row
from bench.wasm_host import build_guest, host, pinned, rival

BATCHES = 2200
"""They nearly fill the ring: 220,000 records of 72 bytes in 16 MiB."""
ROUNDS, TURNS = 12, 3
MILLIS = 700
RATES = (0.5, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20)
"""Millions of events a second that are tried, in order."""


class Figures:
    """What one side showed."""

    def __init__(self) -> None:
        self.drained: list[float] = []
        """Nanoseconds a record, by the clock."""
        self.cpu: list[float] = []
        """The same, of CPU."""
        self.floods: list[Flow] = []
        self.steady: list[float] = []
        """Million events a second without loss."""

    async def gather(self, made: Producer, consumer: Consumer) -> None:
        """Take one turn."""
        for _ in range(ROUNDS):
            took, cpu = await made.fill(BATCHES, consumer)
            self.drained.append(took)
            self.cpu.append(cpu)
        self.floods.append(await made.flow(0, MILLIS, consumer))
        self.steady.append(await steadiest(lambda rate: made.flow(rate, MILLIS, consumer)))


async def steadiest(flow: Callable[[float], Awaitable[Flow]]) -> float:
    """Try rates until two in a row lose something; answer the best that lost nothing."""
    best, losing = 0.0, 0
    for rate in RATES:
        seen = await flow(rate)
        losing = losing + 1 if seen.lost or seen.dropped else 0
        best = best if losing else max(best, seen.sent / seen.seconds / 1e6)
        if losing == 2:
            break
    return best


def measure() -> list[Row]:
    """Measure both by turns, with the same producer."""
    with pinned("events", programs=("fill", "flow", "wake"), maps=("events", "lost")) as (place, bpffs):
        return asyncio.run(_measured(place, bpffs))


async def _measured(place: Path, bpffs: Path) -> list[Row]:
    guest, reader = build_guest("ring_sum", place), rival("ring_reader", place)
    ours, theirs = Figures(), Figures()
    with ExitStack() as stack:
        made = stack.enter_context(Producer.started(rival("ring_producer", place), bpffs))
        async with host(place) as bench:
            for _ in range(TURNS):
                async with Ours.opened(bench, guest, bpffs / "events") as consumer:
                    await ours.gather(made, consumer)
                with Theirs.started(reader, bpffs / "events") as rivals:
                    await theirs.gather(made, rivals)
    return list(_rows(ours, theirs))


def _rows(ours: Figures, theirs: Figures) -> tuple[Row, ...]:
    flood, flood_of_c = (median(flow.delivered / flow.seconds / 1e6 for flow in side.floods) for side in (ours, theirs))
    lost = [flow for flow in ours.floods if flow.sent]
    shares = ", ".join(f"{flow.delivered / flow.sent:.0%} delivered" for flow in lost)
    c = "C, libbpf"
    return (
        Row(
            name="ring buffer to a guest, 64-byte records, full ring drained",
            unit="ns",
            ours=median(ours.drained),
            rival=median(theirs.drained),
            who=c,
            most=2,
            note=f"{1e3 / median(ours.drained):.0f} and {1e3 / median(theirs.drained):.0f} million/s",
        ),
        Row(name="  CPU a record, all threads", unit="ns", ours=median(ours.cpu), rival=median(theirs.cpu), who=c),
        Row(
            name="  flooded: time a delivered record",
            unit="ns",
            ours=1e3 / flood,
            rival=1e3 / flood_of_c,
            who=c,
            most=2,
            note=f"{flood:.1f} and {flood_of_c:.1f} million/s; {shares}",
        ),
        Row(
            name="  fastest steady flow without loss (more is better)",
            unit="M/s",
            ours=median(ours.steady),
            rival=median(theirs.steady),
            who=c,
        ),
    )
