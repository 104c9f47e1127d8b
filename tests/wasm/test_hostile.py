"""Guests that mean harm, or are merely wrong: each is ended or refused, told why, and alone in that."""

from __future__ import annotations

import asyncio
import os
import threading
import time

import pytest

from conductor.bpf.maps import BpfMap
from conductor.bpf.objects import BpfObject
from conductor.errors import BudgetExceeded, CallBudget, ConductorError, ProgramExited, ProgramTrapped
from conductor.model.grants import Access, MapGrant
from conductor.model.ids import Name
from conductor.model.program import Limits
from conductor.wasm.abi import Error
from conductor.wasm.instance import WasmInstance
from conductor.wasm.needs import Needs
from tests.wasm.guests import Wat, counting, ring_counter
from tests.wasm.world import QUICK, Worlds

SPIN = "(loop $for_ever (br $for_ever))"
HOST_LOOP = "(loop $for_ever (drop (call $clock (i32.const 1))) (br $for_ever))"
BIG_LOOP = "(loop $for_ever (drop (call $random (i32.const 0) (i32.const 1048576))) (br $for_ever))"
LOOKUPS = """(loop $for_ever (drop (call $lookup_workloads (i32.const 0) (i32.const 65536) (i32.const 0) (i32.const 1)))
  (br $for_ever))"""
LOGS = "(loop $for_ever (drop (call $log (i32.const 1) (i32.const 1024) (i32.const 60))) (br $for_ever))"
SLEEP = """(i64.store (i32.const 65560) (i64.const 3600000000000)) (i64.store (i32.const 65544) (i64.const 0))
  (i64.store (i32.const 65552) (i64.const 1))
  (drop (call $poll_oneoff (i32.const 65536) (i32.const 70000) (i32.const 1) (i32.const 80000)))"""
SHORT = Limits(cpu_call=0.1)


def other(body: str) -> bytes:
    return Wat().build(tick=f"{body} (i32.const 0)", pages=32)


@pytest.mark.parametrize("body", [SPIN, HOST_LOOP, BIG_LOOP, LOGS], ids=["spin", "host", "maximal", "logs"])
def test_a_call_that_does_not_end_is_ended(world: Worlds, body: str) -> None:
    async def run() -> None:
        async with world() as here:
            one = await here.open(other(body), limits=SHORT)
            began = time.monotonic()
            with pytest.raises(CallBudget, match=r"conductor_v1_tick: .*more than 0\.1 s of CPU"):
                await one.tick()
            assert time.monotonic() - began < 3
            with pytest.raises(CallBudget):
                await one.tick()  # it is beyond use

    asyncio.run(run())


def test_start_sections_run_under_the_same_budget(world: Worlds) -> None:
    module = Wat().build(other=f"(func $s {SPIN}) (start $s)")

    async def run() -> None:
        async with world() as here:
            with pytest.raises(CallBudget, match="start: "):
                await here.open(module, limits=SHORT)
            with pytest.raises(CallBudget, match="_initialize: "):
                await here.open(Wat().build(other=f'(func (export "_initialize") {SPIN})'), limits=SHORT)

    asyncio.run(run())


def test_imports_in_a_start_section_answer_state(world: Worlds) -> None:
    module = Wat().build(
        other="(global $got (mut i32) (i32.const 0)) (func $s (global.set $got (call $random (i32.const 0) (i32.const 8)))) (start $s)",
        tick="(global.get $got)",
    )

    async def run() -> None:
        async with world() as here:
            one = await here.open(module)
            with pytest.raises(ConductorError, match=f"tick answered {int(Error.STATE)};"):
                await one.tick()

    asyncio.run(run())


def test_sleeping_past_the_call_is_ended(world: Worlds) -> None:
    async def run() -> None:
        async with world() as here:
            one = await here.open(other(SLEEP), limits=SHORT)
            with pytest.raises(CallBudget):
                await one.tick()

    asyncio.run(run())


def test_a_trap_names_the_functions(world: Worlds) -> None:
    module = Wat().build(
        other="(func $inner (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0))) (func $outer (result i32) (call $inner (i32.const 0)))",
        tick="(call $outer)",
    )

    async def run() -> None:
        async with world() as here:
            one = await here.open(module)
            with pytest.raises(ProgramTrapped, match="an integer was divided by zero in inner < outer < "):
                await one.tick()
            assert "inner < outer" in here.said()[-1]

    asyncio.run(run())


def test_recursion_overflows_its_own_stack(world: Worlds) -> None:
    module = Wat().build(other="(func $f (result i32) (i32.add (call $f) (i32.const 1)))", tick="(call $f)")

    async def run() -> None:
        async with world() as here:
            one = await here.open(module)
            with pytest.raises(ProgramTrapped, match="the stack overflowed"):
                await one.tick()

    asyncio.run(run())


def test_memory_stays_within_its_limit(world: Worlds) -> None:
    bomb = "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (memory.size)"

    async def run() -> None:
        async with world() as here:
            one = await here.open(Wat().build(tick=bomb), limits=Limits(memory=1 << 20))
            with pytest.raises(ConductorError, match="tick answered 4;"):
                await one.tick()
            assert one.cost().memory_bytes == 4 * 65_536
            with pytest.raises(BudgetExceeded, match="raise the limit memory"):
                await here.open(Wat().build(pages=100), "two", limits=Limits(memory=1 << 20))

    asyncio.run(run())


def test_exit_ends_the_instance(world: Worlds) -> None:
    async def run() -> None:
        async with world() as here:
            one = await here.open(other("(call $proc_exit (i32.const 3))"))
            with pytest.raises(ProgramExited, match="exit code 3"):
                await one.tick()

    asyncio.run(run())


def test_two_that_fail_at_once_are_each_blamed_for_their_own(world: Worlds) -> None:
    """Through many rounds and threads, no failure is another's."""

    def ending(code: int) -> bytes:
        wait = "(loop $w (br_if $w (i64.lt_s (call $clock (i32.const 1)) (i64.add (local.get $now) (i64.const 20000000)))))"
        return other(f"{wait} (call $proc_exit (i32.const {code}))")

    async def blamed(one: WasmInstance, code: int) -> None:
        with pytest.raises(ProgramExited, match=rf"exit code {code}\b"):
            await one.tick()

    async def run() -> None:
        async with world() as here:
            for _ in range(3):
                some = [await here.open(ending(100 + i), f"p{i}") for i in range(6)]
                trapping = await here.open(other("unreachable"), "t")
                async with asyncio.TaskGroup() as group:
                    for i, one in enumerate(some):
                        group.create_task(blamed(one, 100 + i))
                    with pytest.raises(ProgramTrapped, match="unreachable"):
                        await trapping.tick()

    asyncio.run(run())


def test_spinners_delay_no_neighbour(world: Worlds) -> None:
    """Ten that spin up to their limits beside ten good ones; the event loop stays prompt too."""

    async def run() -> None:
        async with world() as here:
            limits = Limits(cpu_call=30, cpu=1.0)
            bad = [
                await here.open(other((SPIN, HOST_LOOP, LOOKUPS)[i % 3]), f"bad{i}", limits=limits) for i in range(10)
            ]
            good = [await here.open(counting(), f"good{i}") for i in range(10)]
            late: list[float] = []
            async with asyncio.TaskGroup() as group:
                for one in bad:
                    group.create_task(broken(one))
                await asyncio.sleep(0.2)
                began = time.monotonic()
                while time.monotonic() - began < 1.0:
                    at = time.monotonic()
                    async with asyncio.TaskGroup() as ticks:
                        for one in good:
                            ticks.create_task(one.tick())
                    late.append(time.monotonic() - at)
                for one in bad:
                    one._guest.meter.hurried = True  # type: ignore[union-attr] # enough seen
            assert all(here.value("ticks_total", one.name) == len(late) for one in good)
            late.sort()
            assert late[len(late) // 2] < 0.25, late  # ten calls beside ten spinners, on two cores shared with others
            assert threading.active_count() < 60

    async def broken(one: WasmInstance) -> None:
        with pytest.raises(CallBudget):
            await one.tick()

    asyncio.run(run())


def test_too_much_per_second_is_throttled_then_ended(world: Worlds) -> None:
    work = (
        "(local.set $n (i32.const 20000000)) (loop $w (br_if $w (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))"
    )

    async def run() -> None:
        async with world(QUICK) as here:
            one = await here.open(other(work), limits=Limits(cpu=0.002, cpu_call=0.02 + 1.0), config={"interval": 0.05})
            with pytest.raises(BudgetExceeded, match=r"limit cpu.*throttled"):
                await often(one)
            assert one.interval > 0.05

    asyncio.run(run())


@pytest.mark.kernel
def test_records_of_one_that_was_given_up_are_booked_so(world: Worlds, events: BpfObject) -> None:
    work = (
        "(local.set $m (i32.const 20000000)) (loop $w (br_if $w (local.tee $m (i32.sub (local.get $m) (i32.const 1)))))"
    )
    grants = (MapGrant(name="events", kernel_program=Name("k"), map="events", access=Access.CONSUME),)

    async def run() -> None:
        async with world() as here:
            with BpfMap.from_fd(os.dup(events.map_fd("events"))) as ring:
                one = await here.open(
                    ring_counter(Needs(interval=0.1), buffer=4096, on_events=work),
                    maps={"events": ring},
                    grants=grants,
                    limits=Limits(cpu=0.001, cpu_call=0.3, inbox=8192),
                )
                with pytest.raises(BudgetExceeded, match="throttled"):
                    await emitting(one)
                await one.close()
                cost = one.cost()
                assert {"inbox_full", "quarantined"} <= set(cost.events_dropped)
                assert cost.events_taken == cost.events_delivered + sum(cost.events_dropped.values())

    async def emitting(one: WasmInstance) -> None:
        for _ in range(200):
            for _ in range(100):
                os.getppid()
            await asyncio.sleep(0.05)
            await one.tick()

    asyncio.run(run())


async def often(one: WasmInstance) -> None:
    for _ in range(400):
        await one.tick()


def test_closing_ends_one_that_does_not_return(world: Worlds) -> None:
    module = Wat().build(save=f"{SPIN} (i32.const 0)")

    async def run() -> None:
        async with world() as here:
            one = await here.open(module, limits=Limits(cpu_call=60))
            began = time.monotonic()
            await one.close()
            assert time.monotonic() - began < 5

    asyncio.run(run())


def test_log_floods_are_counted_out(world: Worlds) -> None:
    body = "(local.set $i (i32.const 1000)) (loop $w (local.set $n (i32.add (local.get $n) (call $log (i32.const 1) (i32.const 1024) (i32.const 8)))) (br_if $w (local.tee $i (i32.sub (local.get $i) (i32.const 1))))) (local.get $n)"

    async def run() -> None:
        async with world() as here:
            one = await here.open(Wat().build(tick=body), limits=Limits(log_lines=7))
            with pytest.raises(ConductorError, match="tick answered 7;"):
                await one.tick()

    asyncio.run(run())
