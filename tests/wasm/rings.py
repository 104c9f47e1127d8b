"""What tests of ring buffers share: opening them, filling them, and the claim that books balance."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from conductor.bpf.maps import BpfMap
from conductor.bpf.objects import BpfObject
from conductor.model.grants import Access, MapGrant
from conductor.model.ids import Name
from conductor.model.status import StreamCost
from conductor.ports import InstanceCost, RingHandle

__all__ = ["balances", "consumed", "emit", "flow", "opened", "until"]


def consumed(*names: str) -> tuple[MapGrant, ...]:
    """Grants of rings."""
    return tuple(MapGrant(name=name, kernel_program=Name("k"), map=name, access=Access.CONSUME) for name in names)


@contextmanager
def opened(made: BpfObject, name: str = "events") -> Iterator[BpfMap]:
    with BpfMap.from_fd(os.dup(made.map_fd(name))) as handle:
        yield handle


async def emit(
    times: int,
    *,
    into: RingHandle | None = None,
    burst: int = 50,
    call: Callable[[], object] = os.getppid,
    rest: float = 0.0,
) -> None:
    """Make records in bursts. With `into` the next one waits until half that ring is free: however busy the machine.

    A burst is at most half of what the ring holds.
    """
    for done in range(0, times, burst):
        for _ in range(min(burst, times - done)):
            call()
        if into is not None:
            await until(lambda: has_half(into))
        await asyncio.sleep(rest)


async def flow(into: RingHandle, end: asyncio.Event) -> int:
    """Make records until told to end; answer how many."""
    sent = 0
    while not end.is_set():
        await emit(50, into=into, rest=0.01)
        sent += 50
    return sent


def has_half(ring: RingHandle) -> bool:
    """Whether half of a ring is free."""
    consumer, producer = ring.positions()
    return producer - consumer <= ring.size // 2


async def until(claim: Callable[[], bool], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not claim():  # noqa: ASYNC110 - claims are about other threads
            await asyncio.sleep(0.01)


def balances(cost: InstanceCost) -> bool:
    """Whether the books add up: of the whole, of each stream, and of the whole as the sum of streams."""
    whole = StreamCost(
        taken=cost.events_taken,
        delivered=cost.events_delivered,
        queued=cost.events_queued,
        dropped=cost.events_dropped,
    )
    streams = tuple(cost.streams.values())
    return (
        all(one.taken == one.delivered + one.queued + sum(one.dropped.values()) for one in (whole, *streams))
        and whole.taken == sum(one.taken for one in streams)
        and whole.delivered == sum(one.delivered for one in streams)
    )
