"""Records stay in the ring while a program has no room, until the ring is half full."""

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
from tests.wasm.rings import balances, consumed, opened, until
from tests.wasm.world import Worlds

pytestmark = pytest.mark.kernel
SPIN = "(local.set $m (i32.const 100000000)) (loop $s (br_if $s (local.tee $m (i32.sub (local.get $m) (i32.const 1)))))"
INBOX = Limits(inbox=4096, cpu=1.0)
"""Of records of 24 bytes it holds 170; the ring holds 682."""


@pytest.fixture
def flood(loaded: Loaded, kernel_pid: int) -> Iterator[BpfObject]:
    made = loaded("rings", {"only_pid": struct.pack("<I", kernel_pid)})
    with links.tracepoint(made.program_fd("on_enter"), "raw_syscalls/sys_enter"):
        yield made


def burst(records: int) -> None:
    for _ in range(records):
        os.getuid()


def test_a_burst_that_fits_into_inbox_and_half_the_ring_is_not_lost(world: Worlds, flood: BpfObject) -> None:
    """However late the pump looks: of 500 records it takes what the inbox holds, and the rest as it empties."""

    async def run() -> None:
        async with world() as here:
            with opened(flood, "flood") as ring:
                slow = stream_counter(Needs(), ("flood",), on_events=SPIN)
                one = await here.open(slow, maps={"flood": ring}, grants=consumed("flood"), limits=INBOX)
                burst(500)
                await until(lambda: one.cost().events_delivered == 500, seconds=20)
                assert one.cost().events_dropped == {}
                assert here.value("streamed_total", stream="flood") == 500
                await one.close()

    asyncio.run(run())


def test_past_its_half_the_ring_is_emptied_and_the_loss_is_known(world: Worlds, flood: BpfObject) -> None:
    """The kernel refuses nothing: what nobody has room for is dropped by number, and some waits in the ring."""

    async def run() -> None:
        async with world() as here:
            with opened(flood, "flood") as ring, opened(flood, "flood_lost") as refused:
                slow = stream_counter(Needs(), ("flood",), on_events=SPIN)
                one = await here.open(slow, maps={"flood": ring}, grants=consumed("flood"), limits=INBOX)
                for _ in range(20):
                    burst(100)
                    await asyncio.sleep(0.01)
                await until(lambda: one.cost().events_taken == 2000 and one.cost().events_queued == 0, seconds=20)
                cost = one.cost()
                assert struct.unpack("<Q", refused.lookup(bytes(4)) or b"") == (0,)
                assert cost.events_dropped["inbox_full"] > 0
                assert balances(cost)
                await one.close()

    asyncio.run(run())


def test_a_record_that_no_inbox_holds_stands_in_nobodys_way(world: Worlds, loaded: Loaded, kernel_pid: int) -> None:
    """It lies before small ones while there is less room than it has bytes."""
    made = loaded("rings", {"only_pid": struct.pack("<I", kernel_pid), "large": struct.pack("<I", 1)})

    async def run() -> None:
        async with world() as here:
            with opened(made, "calm") as ring:
                one = await here.open(
                    stream_counter(Needs(), ("calm",)), maps={"calm": ring}, grants=consumed("calm"), limits=INBOX
                )
                for _ in range(4):
                    os.getppid()
                await until(lambda: one.cost().events_taken == 4)
                await until(lambda: one.cost().events_delivered == 2)
                assert one.cost().events_dropped == {"too_large": 2}
                await one.close()

    with links.tracepoint(made.program_fd("on_enter"), "raw_syscalls/sys_enter"):
        asyncio.run(run())
