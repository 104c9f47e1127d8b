"""64-byte records of a ring buffer to a guest, and to a C consumer through libbpf, which sum the same field.

Drained: the producer fills the ring quietly, then wakes its consumer; from the wake to the last record. Flood: the
producer runs as fast as it can. Steady: the fastest paced flow through a ring of 1 MiB of which nothing is lost, neither
in the ring (counted by the kernel half) nor behind it (our ledger, which has to balance each time).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from bench.ring_consumers import Consumer, Ours, Theirs
from bench.ring_flows import Flow, Producer
from bench.table import Row
from bench.wasm_host import build_guest, host, pinned, rival

BATCHES = 9000
"""They nearly fill the ring: 900,000 records of 72 bytes in 64 MiB, so that waking up counts little."""
C = "C, libbpf"
PROGRAMS = ("fill", "flow", "flow_narrow", "wake")
ROUNDS, TURNS = 10, 3
MILLIS = 700
RATES = (0.5, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 40)
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
        self.losing: list[float] = []
        """The rate above that, at which loss began."""

    async def gather(self, made: Producer, consumer: Consumer) -> None:
        """Take one turn."""
        for _ in range(ROUNDS):
            took, cpu = await made.fill(BATCHES, consumer)
            self.drained.append(took)
            self.cpu.append(cpu)
        self.floods.append(await made.flow(0, MILLIS, consumer))

    async def gather_steady(self, made: Producer, consumer: Consumer) -> None:
        """Take one turn at the small ring."""
        steady, losing = await limits(lambda rate: made.flow(rate, MILLIS, consumer, program="flow_narrow"))
        self.steady.append(steady)
        self.losing.append(losing)


async def limits(flow: Callable[[float], Awaitable[Flow]]) -> tuple[float, float]:
    """Try rates until two in a row lose something; answer the best that lost nothing, and where loss began after it."""
    best, lossy = 0.0, [math.inf]
    for rate in RATES:
        seen = await flow(rate)
        if seen.lost or seen.dropped:
            lossy.append(seen.rate)
        else:
            best, lossy = max(best, seen.rate), lossy[:1]
        if len(lossy) > 2:
            break
    return best, lossy[min(1, len(lossy) - 1)]


def measure() -> list[Row]:
    """Measure both by turns, with the same producer."""
    with pinned("events", programs=PROGRAMS, maps=("events", "narrow", "lost")) as (place, bpffs):
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
                async with Ours.opened(bench, guest, bpffs / "narrow") as consumer:
                    await ours.gather_steady(made, consumer)
                with Theirs.started(reader, bpffs / "narrow") as rivals:
                    await theirs.gather_steady(made, rivals)
    return list(_rows(ours, theirs))


def _rows(ours: Figures, theirs: Figures) -> Iterator[Row]:
    ring, drained = "ring buffer to a guest, 64-byte records", (median(ours.drained), median(theirs.drained))
    yield _time(f"{ring}, a full ring drained", drained, _pace(drained), most=2)
    yield _time("  CPU a record, all threads", (median(ours.cpu), median(theirs.cpu)))
    flooded = tuple(median(1e9 * flow.seconds / flow.delivered for flow in side.floods) for side in (ours, theirs))
    shares = ", ".join(f"{flow.delivered / flow.sent:.0%}" for flow in ours.floods)
    yield _time("  flooded: time a record that arrives", flooded, f"{_pace(flooded)}; {shares} arrived", most=2)
    begins = f"loss begins at {_least(ours)}, with C at {_least(theirs)}; every flow's books balanced"
    yield Row(
        name="  ring of 1 MiB, steady flow without loss (more is better)",
        ours=median(ours.steady),
        rival=median(theirs.steady),
        unit="M/s",
        who=C,
        note=begins,
    )


def _least(side: Figures) -> str:
    least = median(side.losing)
    return f"{least:.1f}" if math.isfinite(least) else "no rate that the producer reaches"


def _time(name: str, seconds: tuple[float, ...], note: str = "", *, most: float | None = None) -> Row:
    return Row(name=name, unit="ns", ours=seconds[0], rival=seconds[1], who=C, most=most, note=note)


def _pace(nanoseconds: tuple[float, ...]) -> str:
    return " and ".join(f"{1e3 / each:.1f}" for each in nanoseconds) + " million/s"
