"""Guests on real maps: the kernel writes into guest memory."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import Callable

import pytest

from conductor.bpf.maps import BpfMap
from conductor.bpf.objects import BpfObject
from conductor.model.grants import Access, MapGrant
from conductor.model.ids import Name
from conductor.wasm.abi import Error
from tests.wasm.guests import Wat
from tests.wasm.world import Worlds

pytestmark = pytest.mark.kernel
Load = Callable[..., BpfObject]


def opened(made: BpfObject, name: str) -> BpfMap:
    return BpfMap.from_fd(os.dup(made.map_fd(name)))


def grant(name: str, access: Access = Access.READ) -> tuple[MapGrant, ...]:
    return (MapGrant(name=name, kernel_program=Name("k"), map=name, access=access),)


def summing(name: str, *, room: int, values: int = 262_144) -> bytes:
    """Walks a map of u32 -> (u64, u64) and shows entries, sum of keys and sum of the first value."""
    wat = Wat()
    declared = [wat.text(f'{{"name":"{one}","type":"gauge","help":"x"}}') for one in ("entries", "keys", "sums")]
    handle = f"(call $map_open {wat.text(name)})"
    ids = wat.place(bytes(16))
    out = wat.place(bytes(24))
    declare = "".join(
        f"(drop (call $metric_series (call $metric_declare {one}) (i32.const 0) (i32.const 0) (i32.const 1) "
        f"(i32.const {ids + 4 * i})))"
        for i, one in enumerate(declared)
    )

    def add(at: int, value: str) -> str:
        return f"(f64.store (i32.const {at}) (f64.add (f64.load (i32.const {at})) {value}))"

    tick = f"""
      {"".join(f"(f64.store (i32.const {out + 8 * i}) (f64.const 0))" for i in range(3))}
      (block $end (loop $batch
        (local.set $n (call $map_batch (i32.const 0) (i32.const 65536) (i32.const {values}) (i32.const {room})))
        (if (i32.lt_s (local.get $n) (i32.const 0)) (then (return (local.get $n))))
        (br_if $end (i32.eqz (local.get $n)))
        {add(out, "(f64.convert_i32_u (local.get $n))")}
        (local.set $i (i32.const 0))
        (loop $entry
          {add(out + 8, "(f64.convert_i32_u (i32.load (i32.add (i32.const 65536) (i32.shl (local.get $i) (i32.const 2)))))")}
          {add(out + 16, f"(f64.convert_i64_u (i64.load (i32.add (i32.const {values}) (i32.shl (local.get $i) (i32.const 4)))))")}
          (br_if $entry (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
        (br $batch)))
      (call $metric_write (i32.const 0) (i32.const {ids}) (i32.const {out}) (i32.const 3))
      (return (i32.const 0))"""
    return wat.build(start=f"{declare} {handle}", tick=tick, pages=12)


def test_a_whole_hash_map_is_read_in_batches(world: Worlds, loaded: Load) -> None:
    async def run() -> None:
        made = loaded("counters")
        async with world() as here:
            with opened(made, "by_pid") as map_:
                for i in range(1, 2001):
                    map_.update(struct.pack("<I", i), struct.pack("<QQ", 10 * i, 1))
                one = await here.open(summing("by_pid", room=512), maps={"by_pid": map_}, grants=grant("by_pid"))
                for _ in range(2):  # the walk begins anew
                    await one.tick()
                    assert here.value("entries") == 2000
                    assert here.value("keys") == 2001 * 1000
                    assert here.value("sums") == 10 * 2001 * 1000
                await one.close()

    asyncio.run(run())


def answers(here_logs: list[str]) -> list[int]:
    return [int(line) for line in here_logs if line.lstrip("-").isdigit()]


def failing(call: str, text: str = "by_pid") -> bytes:
    """Answers by its tick what an import answers."""
    wat = Wat()
    return wat.build(start=f"(call $map_open {wat.text(text)})", tick=call, pages=6)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ("(call $map_batch (i32.const 0) (i32.const 65536) (i32.const 393208) (i32.const 4096))", Error.MEMORY),
        ("(call $map_batch (i32.const 0) (i32.const 65537) (i32.const 131072) (i32.const 16))", Error.MEMORY),
        ("(call $map_batch (i32.const 0) (i32.const 65536) (i32.const -8) (i32.const 16))", Error.MEMORY),
        ("(call $map_batch (i32.const 1) (i32.const 65536) (i32.const 131072) (i32.const 16))", Error.HANDLE),
        ("(call $map_batch (i32.const -1) (i32.const 65536) (i32.const 131072) (i32.const 16))", Error.HANDLE),
        ("(call $map_batch (i32.const 0) (i32.const 65536) (i32.const 131072) (i32.const 0))", Error.NO_ROOM),
        (
            "(call $map_lookup (i32.const 0) (i32.const 0) (i32.const 70000) (i32.const 0) (i32.const 0))",
            Error.ARGUMENT,
        ),
        ("(call $map_lookup (i32.const 0) (i32.const 0) (i32.const -1) (i32.const 0) (i32.const 0))", Error.ARGUMENT),
        ("(call $map_update (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 1) (i32.const 0))", Error.DENIED),
        ("(call $map_delete (i32.const 0) (i32.const 0) (i32.const 1))", Error.DENIED),
        ("(call $map_pop (i32.const 0) (i32.const 0) (i32.const 1))", Error.UNSUPPORTED),
        ("(call $stream_open (i32.const 0) (i32.const 65536) (i32.const 8192))", Error.UNSUPPORTED),
        ("(call $map_open (i32.const 0) (i32.const 3))", Error.NOT_FOUND),
        ("(call $map_open (i32.const -4) (i32.const 8))", Error.MEMORY),
        ("(call $map_info (i32.const 0) (i32.const 393200))", Error.MEMORY),
    ],
)
def test_what_cannot_be_is_answered_by_a_code(world: Worlds, loaded: Load, call: str, code: Error) -> None:
    async def run() -> None:
        async with world() as here:
            with opened(loaded("counters"), "by_pid") as map_:
                one = await here.open(failing(call), maps={"by_pid": map_}, grants=grant("by_pid"))
                with pytest.raises(Exception, match=f"tick answered {int(code)};"):
                    await one.tick()
                await one.close()

    asyncio.run(run())


def test_entries_are_written_looked_up_and_deleted(world: Worlds, loaded: Load) -> None:
    wat = Wat()
    name = wat.text("by_pid")
    keys = wat.place(struct.pack("<III", 7, 8, 9))
    values = wat.place(struct.pack("<QQQQ", 70, 71, 80, 81))
    found = wat.place(bytes(8))
    write = (
        f"(drop (call $map_update (i32.const 0) (i32.const {keys}) (i32.const {values}) (i32.const 2) (i32.const 0)))"
    )
    look = f"(call $map_lookup (i32.const 0) (i32.const {keys}) (i32.const 3) (i32.const 65536) (i32.const {found}))"
    drop = f"(call $map_delete (i32.const 0) (i32.const {keys}) (i32.const 1))"
    tick = f"""{write} (local.set $n {look})
      (if (i64.ne (i64.load (i32.const 65552)) (i64.const 80)) (then (return (i32.const 99))))
      (if (i32.ne (i32.load (i32.const {found})) (i32.const 0x0101)) (then (return (i32.const 98))))
      (i32.add (i32.mul (local.get $n) (i32.const 10)) {drop})"""
    module = wat.build(start=f"(call $map_open {name})", tick=tick)

    async def run() -> None:
        async with world() as here:
            with opened(loaded("counters"), "by_pid") as map_:
                grants = grant("by_pid", Access.READ_WRITE)
                one = await here.open(module, maps={"by_pid": map_}, grants=grants)
                with pytest.raises(Exception, match="tick answered 21;"):
                    await one.tick()
                assert map_.lookup(struct.pack("<I", 7)) is None
                assert map_.lookup(struct.pack("<I", 8)) == struct.pack("<QQ", 80, 81)
                await one.close()

    asyncio.run(run())


def test_map_operations_are_a_budget(world: Worlds, loaded: Load) -> None:
    from conductor.model.program import Limits

    look = "(call $map_lookup (i32.const 0) (i32.const 65536) (i32.const 600) (i32.const 131072) (i32.const 70000))"

    async def run() -> None:
        async with world() as here:
            with opened(loaded("counters"), "by_pid") as map_:
                limits = Limits(map_operations=1000)
                module = failing(f"(drop {look}) (drop {look}) {look}")
                one = await here.open(module, maps={"by_pid": map_}, grants=grant("by_pid"), limits=limits)
                with pytest.raises(Exception, match=f"tick answered {int(Error.BUDGET)};"):
                    await one.tick()
                await one.close()

    asyncio.run(run())


def test_a_queue_is_popped(world: Worlds, events: BpfObject) -> None:
    wat = Wat()
    pop = "(call $map_pop (i32.const 0) (i32.const 65536) (i32.const 16))"
    tick = f"(i32.add (i32.mul {pop} (i32.const 100)) (i32.load (i32.const 65544)))"
    module = wat.build(start=f"(call $map_open {wat.text('queue')})", tick=tick)

    async def run() -> None:
        async with world() as here:
            with opened(events, "queue") as map_:
                one = await here.open(module, maps={"queue": map_}, grants=grant("queue", Access.CONSUME))
                for _ in range(3):
                    os.getppid()
                with pytest.raises(Exception, match="tick answered 301;"):
                    await one.tick()
                await one.close()

    asyncio.run(run())


def test_info_tells_slots_of_percpu_values(world: Worlds, loaded: Load) -> None:
    wat = Wat()
    tick = "(drop (call $map_info (i32.const 0) (i32.const 65536))) (i32.load (i32.const 65548))"
    module = wat.build(start=f"(call $map_open {wat.text('total')})", tick=tick)

    async def run() -> None:
        async with world() as here:
            with opened(loaded("counters"), "total") as map_:
                one = await here.open(module, maps={"total": map_}, grants=grant("total"))
                with pytest.raises(Exception, match=f"tick answered {map_.info.stride};"):
                    await one.tick()
                assert map_.info.stride == 8 * map_.info.cpus
                await one.close()

    asyncio.run(run())
