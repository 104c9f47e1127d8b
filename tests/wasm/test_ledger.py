"""The loss ledger: each stream's books balance by themselves, and survive the instances they are about."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest

from conductor.bpf import links
from conductor.bpf.maps import BpfMap
from conductor.bpf.objects import BpfObject
from conductor.errors import ProgramCrashed, ProgramTrapped
from conductor.model.grants import MapNeed, MapType
from conductor.model.program import Limits
from conductor.ports import RingHandle
from conductor.wasm.instance import WasmInstance
from conductor.wasm.needs import Needs
from tests.wasm.conftest import Loaded
from tests.wasm.guests import ring_counter, stream_counter, trap_once
from tests.wasm.rings import balances, consumed, emit, opened, until
from tests.wasm.world import Worlds

pytestmark = pytest.mark.kernel
SPIN = "(local.set $m (i32.const 100000000)) (loop $s (br_if $s (local.tee $m (i32.sub (local.get $m) (i32.const 1)))))"
RINGS = ("calm", "flood")
MAPS = (*RINGS, "calm_lost", "flood_lost")
NEEDS = Needs(
    maps=tuple(MapNeed(name=name, type=MapType.RINGBUF if name in RINGS else MapType.ARRAY) for name in MAPS),
    losses={name: f"{name}_lost" for name in RINGS},
)


@pytest.fixture
def two_rings(loaded: Loaded, kernel_pid: int) -> Iterator[BpfObject]:
    """rings.bpf.c: getppid fills `calm`, getuid fills `flood`, 682 records each at most."""
    made = loaded("rings", {"only_pid": struct.pack("<I", kernel_pid)})
    with links.tracepoint(made.program_fd("on_enter"), "raw_syscalls/sys_enter"):
        yield made


def test_each_stream_balances_while_one_is_flooded(world: Worlds, two_rings: BpfObject) -> None:
    """The guest is slow on one of them: the kernel refuses records of that ring, the inbox drops some, both are told."""
    slow = f"(if (i32.eq (local.get $stream) (i32.const 1)) (then {SPIN}))"

    async def run() -> None:
        async with world() as here:
            with ExitStack() as stack:
                maps = {name: stack.enter_context(opened(two_rings, name)) for name in MAPS}
                limits = Limits(inbox=4096, cpu=1.0)
                one = await here.open(
                    stream_counter(NEEDS, RINGS, on_events=slow), maps=maps, grants=consumed(*RINGS), limits=limits
                )
                await emit(20_000, burst=2000, call=os.getuid, rest=0.01)
                await emit(50, burst=10)
                looks = [stack.enter_context(maps[name].ring()) for name in RINGS]
                await until(lambda: all(len(set(look.positions())) == 1 for look in looks))  # they are empty
                await until(lambda: one.cost().events_queued == 0)
                await one.tick()
                cost = one.cost()
                assert balances(cost)
                calm, flood = cost.streams["calm"], cost.streams["flood"]
                for stream, made, lost in ((calm, 50, "calm_lost"), (flood, 20_000, "flood_lost")):
                    (refused,) = struct.unpack("<Q", maps[lost].lookup(bytes(4)) or b"")
                    assert stream.kernel_losses == refused
                    assert stream.taken + refused == made
                assert calm.kernel_losses == 0
                assert flood.dropped["inbox_full"] > 0
                assert flood.kernel_losses > 0  # type: ignore[operator] # counted, so not None
                assert cost.kernel_losses == flood.kernel_losses
                assert here.value("streamed_total", stream="calm") == calm.delivered
                assert here.value("streamed_total", stream="flood") == flood.delivered
                await one.close()

    asyncio.run(run())


async def broken(one: WasmInstance, make: Callable[[], object]) -> None:
    """Have it trap over records that are made."""
    failed = asyncio.Event()
    loop = asyncio.get_running_loop()
    one.when_broken(lambda: loop.call_soon_threadsafe(failed.set))
    make()
    async with asyncio.timeout(10):
        await failed.wait()
    with pytest.raises(ProgramTrapped):
        await one.tick()


def getppid(times: int) -> Callable[[], object]:
    return lambda: [os.getppid() for _ in range(times)]


def test_what_waited_goes_to_the_next_instance(world: Worlds, events: BpfObject) -> None:
    """Only the batch that trapped is lost; the ring, which nobody else reads, keeps what comes meanwhile."""
    module = stream_counter(Needs(), ("events",), buffer=4096, on_events=trap_once())

    async def run() -> None:
        async with world() as here:
            with opened(events) as first, opened(events) as second:
                one = await here.open(module, maps={"events": first}, grants=consumed("events"))
                await broken(one, getppid(100))
                await emit(20)
                await one.close()
                before = one.cost()
                assert balances(before)
                assert set(before.events_dropped) == {"trap"}
                await emit(30)
                two = await here.open(module, maps={"events": second}, grants=consumed("events"))
                lost = before.events_dropped["trap"]
                await until(lambda: two.cost().events_delivered == 150 - lost)
                assert two.cost().events_taken == 150 - lost  # what waited is in its books, too
                assert balances(two.cost())
                assert here.value("streamed_total", stream="events") == 150 - lost
                await two.close()
                assert two.cost().events_taken == 150 - lost

    asyncio.run(run())


def test_a_neighbour_on_the_same_ring_costs_it_no_record(world: Worlds, events: BpfObject, look: RingHandle) -> None:
    """The neighbour empties the ring while the program is down; its place there was kept."""
    module = stream_counter(Needs(), ("events",), on_events=trap_once())

    async def run() -> None:
        async with world() as here:
            with opened(events) as first, opened(events) as second, opened(events) as third:
                two = await here.open(ring_counter(Needs()), "two", maps={"events": second}, grants=consumed("events"))
                one = await here.open(module, maps={"events": first}, grants=consumed("events"))
                await broken(one, getppid(20))
                await one.close()
                await emit(300, into=look)
                await until(lambda: two.cost().events_delivered == 320)
                three = await here.open(module, maps={"events": third}, grants=consumed("events"))
                lost = one.cost().events_dropped["trap"]
                await until(lambda: three.cost().events_delivered == 320 - lost)
                assert here.value("streamed_total", stream="events") == 320 - lost
                await two.close()
                await three.close()

    asyncio.run(run())


def test_a_smaller_buffer_takes_what_waited_in_more_pieces(world: Worlds, events: BpfObject, look: RingHandle) -> None:
    async def run() -> None:
        async with world() as here:
            with opened(events) as first, opened(events) as second, opened(events) as other:
                two = await here.open(ring_counter(Needs()), "two", maps={"events": other}, grants=consumed("events"))
                large = stream_counter(Needs(), ("events",), on_events="unreachable")
                one = await here.open(large, maps={"events": first}, grants=consumed("events"))
                await broken(one, getppid(1))
                await emit(1500, into=look)
                await one.close()
                small = ring_counter(Needs(), buffer=4096)
                three = await here.open(small, maps={"events": second}, grants=consumed("events"))
                lost = one.cost().events_dropped["trap"]
                await until(lambda: three.cost().events_delivered == 1501 - lost)
                assert here.value("walked_total") == 1501 - lost
                await two.close()
                await three.close()

    asyncio.run(run())


def test_an_update_of_one_that_broke_takes_what_waits(world: Worlds, events: BpfObject) -> None:
    """Nobody has noticed yet: it is still there, and beyond use."""

    async def run() -> None:
        async with world() as here:
            with opened(events) as first, opened(events) as second:
                module = stream_counter(Needs(), ("events",), on_events="unreachable")
                one = await here.open(module, maps={"events": first}, grants=consumed("events"))
                await broken(one, getppid(1))
                await emit(100)
                await until(lambda: one.cost().events_queued > 0)
                two = await here.open(
                    ring_counter(Needs()), maps={"events": second}, grants=consumed("events"), old=one
                )
                await one.close()
                before = one.cost()
                lost = before.events_dropped["trap"]
                assert before.events_taken == sum(before.events_dropped.values()) == lost
                await until(lambda: two.cost().events_delivered == 101 - lost)
                assert balances(two.cost())
                await two.close()

    asyncio.run(run())


def test_what_is_forgotten_is_gone(world: Worlds, events: BpfObject) -> None:
    """A program that was unloaded: one of the same name later begins with empty books."""

    async def run() -> None:
        async with world() as here:
            with opened(events) as first, opened(events) as second, opened(events) as other:
                two = await here.open(ring_counter(Needs()), "two", maps={"events": other}, grants=consumed("events"))
                trap = stream_counter(Needs(), ("events",), on_events="unreachable")
                one = await here.open(trap, maps={"events": first}, grants=consumed("events"))
                await broken(one, getppid(1))
                await emit(50)
                await one.close()
                await here.runtime.forget(one.name)  # type: ignore[arg-type] # a plain name
                three = await here.open(ring_counter(Needs()), maps={"events": second}, grants=consumed("events"))
                await emit(5)
                await until(lambda: three.cost().events_delivered == 5)
                assert three.cost().events_taken == 5
                await two.close()
                await three.close()

    asyncio.run(run())


LOSSES = Needs(
    maps=(MapNeed(name="events", type=MapType.RINGBUF), MapNeed(name="total", type=MapType.PERCPU_ARRAY)),
    losses={"events": "total"},
)


def counted(total: BpfMap, number: int) -> None:
    total.update(bytes(4), struct.pack(f"<{total.info.cpus}Q", number, *[0] * (total.info.cpus - 1)))


def test_kernel_losses_between_two_instances_are_counted(world: Worlds, loaded: Loaded, events: BpfObject) -> None:
    async def run() -> None:
        async with world() as here:
            with opened(events) as ring, opened(loaded("counters"), "total") as total:
                counted(total, 100)
                maps = {"events": ring, "total": total}
                one = await here.open(ring_counter(LOSSES), maps=maps, grants=consumed("events"))
                counted(total, 103)
                await one.close()
                counted(total, 110)
                two = await here.open(ring_counter(LOSSES), maps=maps, grants=consumed("events"))
                assert (one.cost().kernel_losses, two.cost().kernel_losses) == (3, 7)
                assert two.cost().streams["events"].kernel_losses == 7
                await two.close()

    asyncio.run(run())


@pytest.mark.parametrize("healthy", ["(i32.const 1)", "(i32.const 0)"], ids=["taken", "given back"])
def test_kernel_losses_are_counted_once_while_two_versions_overlap(
    world: Worlds, loaded: Loaded, events: BpfObject, healthy: str
) -> None:
    async def run() -> None:
        async with world() as here:
            with opened(events) as ring, opened(loaded("counters"), "total") as total:
                counted(total, 100)
                maps = {"events": ring, "total": total}
                one = await here.open(ring_counter(LOSSES), maps=maps, grants=consumed("events"))
                counted(total, 103)
                newer = ring_counter(LOSSES, buffer=8192, healthy=healthy)
                two = None
                with suppress(ProgramCrashed):
                    two = await here.open(newer, maps=maps, grants=consumed("events"), old=one)
                assert (two is None) is ("0" in healthy)
                counted(total, 110)
                last = two or one
                await one.tick()
                await last.tick()
                losses = [each.cost().kernel_losses or 0 for each in {one, last}]
                assert sum(losses) == 10
                await one.close()
                await last.close()

    asyncio.run(run())
