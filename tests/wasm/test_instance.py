"""What an instance can do when all is well."""

from __future__ import annotations

import asyncio
import struct

import pytest

from conductor.errors import InvalidSpec, TickFailed
from conductor.model.facts import Workload
from conductor.model.grants import Access, MapNeed, MapType
from conductor.wasm.needs import Needs
from tests.wasm.guests import Wat, counting
from tests.wasm.world import Worlds


def test_ticks_write_metrics(world: Worlds) -> None:
    async def run() -> None:
        async with world() as here:
            one = await here.open(counting())
            for _ in range(3):
                await one.tick()
            assert here.value("ticks_total") == 3
            cost = one.cost()
            assert cost.memory_bytes == 4 * 65_536
            assert 0 < cost.cpu_seconds < 1

    asyncio.run(run())


def test_interval_is_the_configs_then_the_modules(world: Worlds) -> None:
    async def run() -> None:
        async with world() as here:
            module = counting(needs=Needs(interval=7))
            assert (await here.open(module)).interval == 7
            assert (await here.open(module, "two", config={"interval": 0.5})).interval == 0.5
            assert (await here.open(counting(), "three")).interval == 5

    asyncio.run(run())


def test_config_is_checked_and_read_with_defaults(world: Worlds) -> None:
    schema = {"properties": {"limit": {"type": "integer", "default": 3, "minimum": 1}, "who": {"type": "string"}}}
    wat = Wat()
    size = "(local.set $n (call $config_read (i32.const 65536) (i32.const 4096)))"
    said = "(drop (call $log (i32.const 1) (i32.const 65536) (local.get $n)))"
    module = wat.build(start=f"{size} {said} (i32.const 0)", needs=Needs(config_schema=schema))

    async def run() -> None:
        async with world() as here:
            await here.open(module, config={"who": "me"})
            assert here.said() == ['{"who":"me","limit":3}']
            with pytest.raises(InvalidSpec, match=r"config\.limit"):
                await here.open(module, config={"limit": 0})
            with pytest.raises(InvalidSpec, match=r"config\.limits.*did you mean"):
                await here.open(module, config={"limits": 1})

    asyncio.run(run())


def test_needs_are_told(world: Worlds) -> None:
    need = MapNeed(name="counts", type=MapType.HASH, key_size=4, value_size=16, access=Access.READ)

    async def run() -> None:
        async with world() as here:
            assert await here.runtime.needs(here.spec(counting(needs=Needs(maps=(need,))))) == (need,)

    asyncio.run(run())


def test_labels_are_interned_once_and_removed(world: Worlds) -> None:
    wat = Wat()
    declared = wat.text('{"name":"seen","type":"gauge","help":"Seen.","labels":["a","b"]}')
    row = b"".join(struct.pack("<I", len(text)) + text for text in (b"x", b"yy", b"z", "ü".encode()))
    rows = wat.place(row)
    values = wat.place(struct.pack("<dd", 4.5, -1))
    ids = wat.place(bytes(8))
    intern = f"(call $metric_series (call $metric_declare {declared}) (i32.const {rows}) (i32.const {len(row)}) (i32.const 2) (i32.const {ids}))"
    write = f"(drop (call $metric_write (i32.const 0) (i32.const {ids}) (i32.const {values}) (i32.const 2)))"
    again = f"(drop {intern}) (i32.load (i32.const {ids + 4}))"
    module = wat.build(start=f"(drop {intern}) {write} (i32.const 0)", tick=f"(i32.sub {again} (i32.const 1))")

    async def run() -> None:
        async with world() as here:
            one = await here.open(module)
            assert here.value("seen", a="x", b="yy") == 4.5
            assert here.value("seen", a="z", b="ü") == -1
            await one.tick()  # the second row's number is still 1

    asyncio.run(run())


def test_state_outlives_the_instance(world: Worlds) -> None:
    wat = Wat()
    text = wat.text("kept")
    read = "(call $state_read (i32.const 65536) (i32.const 100))"
    module = wat.build(
        start=f"(drop (call $log (i32.const 1) (i32.const 65536) {read})) (i32.const 0)",
        save=f"(call $state_write {text})",
    )

    async def run() -> None:
        async with world() as here:
            one = await here.open(module)
            await one.close()
            await here.open(module)
            assert "kept" in here.said()

    asyncio.run(run())


def test_lookups_answer_arrays(world: Worlds) -> None:
    wat = Wat()
    address = b"\0" * 10 + b"\xff\xff" + bytes([10, 0, 0, 1])
    at = wat.place(address + bytes(16))
    size = f"(local.set $n (call $lookup_workloads (i32.const {at}) (i32.const 2) (i32.const 65536) (i32.const 4096)))"
    said = "(drop (call $log (i32.const 1) (i32.const 65536) (local.get $n)))"
    local = f"(call $lookup_local (i32.const {at}) (i32.const 2) (i32.const 65536))"
    module = wat.build(start=f"{size} {said} (i32.const 0)", tick=local)

    async def run() -> None:
        async with world() as here:
            here.lookup.known[address] = Workload(kind="Pod", name="web", namespace="shop")
            here.lookup.local.add(address)
            one = await here.open(module)
            packed = b"".join(struct.pack("<I", len(t)) + t for t in (b"Pod", b"shop", b"web", b"", b"", b""))
            assert here.said() == [packed.decode()]
            with pytest.raises(TickFailed, match="tick answered 1;"):
                await one.tick()

    asyncio.run(run())


def test_start_that_refuses_fails_the_program(world: Worlds) -> None:
    async def run() -> None:
        async with world() as here:
            with pytest.raises(Exception, match="conductor_v1_start answered -7"):
                await here.open(Wat().build(start="(i32.const -7)"))

    asyncio.run(run())
