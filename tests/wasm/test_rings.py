"""Ring buffers: one pump, several programs, books that balance."""

from __future__ import annotations

import asyncio
import struct

import pytest

from conductor.bpf.objects import BpfObject
from conductor.errors import ProgramTrapped
from conductor.model.grants import Access, MapNeed, MapType
from conductor.model.program import Limits
from conductor.ports import RingHandle
from conductor.wasm.instance import WasmInstance
from conductor.wasm.needs import Needs
from tests.wasm.conftest import Loaded
from tests.wasm.guests import ring_counter
from tests.wasm.rings import balances, consumed, emit, flow, opened, until
from tests.wasm.world import Worlds

pytestmark = pytest.mark.kernel
GRANTS = consumed("events")
NEEDS = Needs()


def test_every_record_comes_once_to_each_program(world: Worlds, events: BpfObject, look: RingHandle) -> None:
    async def run() -> None:
        async with world() as here:
            with opened(events) as first, opened(events) as second:
                one = await here.open(ring_counter(NEEDS), maps={"events": first}, grants=GRANTS)
                two = await here.open(ring_counter(NEEDS, buffer=4096), "two", maps={"events": second}, grants=GRANTS)
                await emit(1000, into=look)
                await until(lambda: one.cost().events_delivered == two.cost().events_delivered == 1000)
                for each in (one, two):
                    assert here.value("told_total", each.name) == here.value("walked_total", each.name) == 1000
                    assert each.cost().events_taken == 1000
                    assert balances(each.cost())
                await one.close()
                await two.close()

    asyncio.run(run())


def test_what_waits_is_delivered_before_the_end(world: Worlds, events: BpfObject) -> None:
    async def run() -> None:
        async with world() as here:
            with opened(events) as ring:
                one = await here.open(ring_counter(NEEDS), maps={"events": ring}, grants=GRANTS)
                await emit(50)
                await one.close()
                cost = one.cost()
                assert cost.events_taken == cost.events_delivered
                assert cost.events_queued == 0
                taken = cost.events_taken
                two = await here.open(
                    ring_counter(NEEDS), maps={"events": ring}, grants=GRANTS
                )  # the rest is still there
                await until(lambda: two.cost().events_delivered == 50 - taken)
                await two.close()

    asyncio.run(run())


def test_a_full_inbox_drops_and_says_so(world: Worlds, events: BpfObject, look: RingHandle) -> None:
    """A slow program loses records; its neighbour, for which they are taken, does not."""
    slow = """(local.set $m (i32.const 200000000)) (loop $spin (br_if $spin
      (local.tee $m (i32.sub (local.get $m) (i32.const 1)))))"""

    async def run() -> None:
        async with world() as here:
            with opened(events) as first, opened(events) as second:
                limits = Limits(inbox=4096, cpu=1.0)
                one = await here.open(
                    ring_counter(NEEDS, on_events=slow), maps={"events": first}, grants=GRANTS, limits=limits
                )
                two = await here.open(ring_counter(NEEDS), "two", maps={"events": second}, grants=GRANTS)
                sent = 0
                async with asyncio.timeout(60):
                    while not one.cost().events_dropped:
                        await emit(500, into=look)
                        sent += 500
                await until(lambda: two.cost().events_delivered == sent)
                await until(lambda: one.cost().events_taken == sent and one.cost().events_queued == 0)
                cost = one.cost()
                assert set(cost.events_dropped) == {"inbox_full"}
                assert two.cost().events_dropped == {}
                assert balances(cost)
                assert here.value("told_total") == cost.events_delivered
                await one.close()
                await two.close()

    asyncio.run(run())


def test_the_batch_that_trapped_is_dropped_whole(world: Worlds, events: BpfObject) -> None:
    trap = "(if (f64.gt (f64.const 0) (f64.const -1)) (then unreachable))"

    async def run() -> None:
        async with world() as here:
            with opened(events) as ring:
                one = await here.open(ring_counter(NEEDS, on_events=trap), maps={"events": ring}, grants=GRANTS)
                woken = asyncio.Event()
                loop = asyncio.get_running_loop()
                one.when_broken(lambda: loop.call_soon_threadsafe(woken.set))
                await emit(40)
                async with asyncio.timeout(5):
                    await woken.wait()
                with pytest.raises(ProgramTrapped, match=r"conductor_v1_events: unreachable .* in "):
                    await one.tick()
                await one.close()
                cost = one.cost()
                assert cost.events_delivered == 0
                assert set(cost.events_dropped) == {"trap"}
                assert balances(cost)

    asyncio.run(run())


def test_an_update_switches_at_a_position(world: Worlds, events: BpfObject, look: RingHandle) -> None:
    """While records flow, each is counted once by the old or the new version."""

    async def run() -> None:
        async with world() as here:
            with opened(events) as first, opened(events) as second:
                one = await here.open(ring_counter(NEEDS), maps={"events": first}, grants=GRANTS)
                end = asyncio.Event()
                async with asyncio.TaskGroup() as group:
                    flowing = group.create_task(flow(look, end))
                    await until(lambda: one.cost().events_delivered > 0)
                    two = await here.open(
                        ring_counter(NEEDS, buffer=8192), maps={"events": second}, grants=GRANTS, old=one
                    )
                    await one.close()
                    await until(lambda: two.cost().events_delivered > 0)
                    end.set()
                sent = flowing.result()
                await until(lambda: two.cost().events_queued == 0 and total(one, two) == sent)
                assert here.value("told_total") == sent
                await two.close()

    asyncio.run(run())


def test_a_bad_new_version_gives_back(world: Worlds, events: BpfObject, look: RingHandle) -> None:
    """It traps while it is watched: the old one goes on at a second position, the books hold what was lost."""
    trap = "(if (i32.gt_u (local.get $i) (i32.const 0)) (then unreachable))"

    async def run() -> None:
        async with world() as here:
            with opened(events) as first, opened(events) as second:
                one = await here.open(ring_counter(NEEDS), maps={"events": first}, grants=GRANTS)
                end = asyncio.Event()
                async with asyncio.TaskGroup() as group:
                    flowing = group.create_task(flow(look, end))
                    with pytest.raises(ProgramTrapped):
                        await here.open(
                            ring_counter(NEEDS, on_events=trap), maps={"events": second}, grants=GRANTS, old=one
                        )
                    end.set()
                sent = flowing.result()
                await until(lambda: one.cost().events_queued == 0 and one.cost().events_taken == sent)
                cost = one.cost()
                assert balances(cost)
                assert set(cost.events_dropped) == {"trap"}  # what waited for the new one came back to the old
                assert cost.events_delivered == sent - sum(cost.events_dropped.values())
                await one.close()

    asyncio.run(run())


def test_an_unhealthy_new_version_gives_back(world: Worlds, events: BpfObject) -> None:
    async def run() -> None:
        async with world() as here:
            with opened(events) as first, opened(events) as second:
                one = await here.open(ring_counter(NEEDS), maps={"events": first}, grants=GRANTS)
                with pytest.raises(Exception, match="not healthy"):
                    await here.open(
                        ring_counter(NEEDS, healthy="(i32.const 0)"), maps={"events": second}, grants=GRANTS, old=one
                    )
                await emit(20)
                await until(lambda: one.cost().events_delivered == 20)
                await one.close()

    asyncio.run(run())


def total(*instances: WasmInstance) -> int:
    return sum(one.cost().events_delivered for one in instances)


def test_losses_in_the_kernel_are_counted_where_it_counts_them(
    world: Worlds, events: BpfObject, loaded: Loaded
) -> None:
    maps = (
        MapNeed(name="events", type=MapType.RINGBUF, access=Access.CONSUME),
        MapNeed(name="total", type=MapType.PERCPU_ARRAY),
    )

    async def run() -> None:
        counters = loaded("counters")
        async with world() as here:
            with opened(events) as ring, opened(counters, "total") as total_:
                slots = total_.info.cpus
                total_.update(bytes(4), struct.pack(f"<{slots}Q", *[100] * slots))  # before it looked: not its loss
                needs = Needs(maps=maps, losses={"events": "total"})
                one = await here.open(ring_counter(needs), maps={"events": ring, "total": total_}, grants=GRANTS)
                total_.update(bytes(4), struct.pack(f"<{slots}Q", *[103] * slots))
                await one.tick()
                assert one.cost().kernel_losses == 3 * slots
                two = await here.open(ring_counter(NEEDS), "two", maps={"events": ring}, grants=GRANTS)
                assert two.cost().kernel_losses is None
                await one.close()
                await two.close()

    asyncio.run(run())
