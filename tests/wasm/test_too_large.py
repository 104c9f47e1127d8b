"""Records that no buffer of a program can hold: dropped one by one, by name, while the others go on."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import Iterator

import pytest

from conductor.bpf import links
from conductor.bpf.objects import BpfObject
from conductor.model.program import Limits
from conductor.wasm.needs import Needs
from tests.wasm.conftest import Loaded
from tests.wasm.guests import stream_counter
from tests.wasm.rings import balances, consumed, emit, opened, until
from tests.wasm.world import Worlds

pytestmark = pytest.mark.kernel


@pytest.fixture
def rings(loaded: Loaded, kernel_pid: int) -> Iterator[BpfObject]:
    """rings.bpf.c: of `calm`'s records, one for each getppid, every other has 8,000 bytes; getgid makes one of 1.5 MB."""
    made = loaded("rings", {"only_pid": struct.pack("<I", kernel_pid), "large": struct.pack("<I", 1)})
    with links.tracepoint(made.program_fd("on_enter"), "raw_syscalls/sys_enter"):
        yield made


def test_a_record_larger_than_the_buffer_is_dropped_alone(world: Worlds, rings: BpfObject) -> None:
    """Two programs on one ring: the buffer of one holds 4 KiB, that of the other all."""

    async def run() -> None:
        async with world() as here:
            with opened(rings, "calm") as first, opened(rings, "calm") as second, first.ring() as look:
                small = stream_counter(Needs(), ("calm",), buffer=4096)
                one = await here.open(small, maps={"calm": first}, grants=consumed("calm"))
                two = await here.open(
                    stream_counter(Needs(), ("calm",)), "two", maps={"calm": second}, grants=consumed("calm")
                )
                await emit(20, burst=2, into=look)
                await until(lambda: two.cost().events_delivered == 20 and one.cost().events_taken == 20)
                await until(lambda: one.cost().events_queued == 0)
                assert one.cost().streams["calm"].dropped == {"too_large": 10}
                assert here.value("streamed_total", stream="calm") == 10
                assert here.value("streamed_total", "two", stream="calm") == 20
                assert balances(one.cost())
                await one.close()
                await two.close()

    asyncio.run(run())


def test_a_record_larger_than_the_share_of_an_inbox_is_dropped_alone(world: Worlds, rings: BpfObject) -> None:
    async def run() -> None:
        async with world() as here:
            with opened(rings, "calm") as ring, ring.ring() as look:
                module = stream_counter(Needs(), ("calm",))
                limits = Limits(inbox=16_384)  # a piece is a quarter of that
                one = await here.open(module, maps={"calm": ring}, grants=consumed("calm"), limits=limits)
                await emit(10, burst=2, into=look)
                await until(lambda: one.cost().events_taken == 10 and one.cost().events_queued == 0)
                assert one.cost().events_dropped == {"too_large": 5}
                assert one.cost().events_delivered == 5
                await one.close()

    asyncio.run(run())


def test_a_record_larger_than_all_that_is_copied_is_skipped(world: Worlds, rings: BpfObject) -> None:
    """The ring goes on behind it: four of them need more room than it has."""

    async def run() -> None:
        async with world() as here:
            with opened(rings, "giant") as ring:
                one = await here.open(
                    stream_counter(Needs(), ("giant",)), maps={"giant": ring}, grants=consumed("giant")
                )
                for sent in range(1, 5):
                    os.getgid()
                    await until(lambda sent=sent: one.cost().events_taken == sent)  # type: ignore[misc] # bound at once
                cost = one.cost()
                assert cost.events_dropped == {"too_large": 4}
                assert (cost.events_delivered, cost.events_queued) == (0, 0)
                await one.close()

    asyncio.run(run())
