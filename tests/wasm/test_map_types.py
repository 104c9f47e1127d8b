"""Every type of map that guests may be granted, made for real: walked, looked up, written, popped."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from conductor.bpf.kinds import MapKind
from conductor.bpf.map_create import create_map
from conductor.bpf.maps import BpfMap
from conductor.errors import InvalidSpec, ProgramCrashed, TickFailed
from conductor.model.grants import Access, MapGrant
from conductor.model.ids import Name
from conductor.wasm.abi import Error
from conductor.wasm.abi import MapKind as Numbers
from conductor.wasm.instance import WasmInstance
from conductor.wasm.needs import parse_needs
from tests.wasm.guests import Wat
from tests.wasm.world import World, Worlds

pytestmark = pytest.mark.kernel
NO_PREALLOC = 1
KEYS, VALUES, FOUND = 65_536, 131_072, 200_000
"""Where the guest below keeps them."""
KEYED = [MapKind.HASH, MapKind.ARRAY, MapKind.LRU_HASH, MapKind.PERCPU_HASH, MapKind.PERCPU_ARRAY, MapKind.LRU_PERCPU_HASH]  # fmt: skip


@contextmanager
def made(kind: MapKind, *, key: int = 4, value: int = 8, most: int = 8, flags: int = 0) -> Iterator[BpfMap]:
    descriptor = create_map(kind, key_size=key, value_size=value, max_entries=most, flags=flags, name="some")
    with BpfMap.from_fd(descriptor.detach()) as map_:
        yield map_


async def guest(here: World, map_: BpfMap, tick: str, name: str = "one") -> WasmInstance:
    """A guest with one map, granted for reading and writing."""
    wat = Wat()
    module = wat.build(start=f"(call $map_open {wat.text('some')})", tick=tick, pages=4)
    grants = (MapGrant(name="some", kernel_program=Name("k"), map="some", access=Access.READ_WRITE),)
    return await here.open(module, name, maps={"some": map_}, grants=grants)


def memory(one: WasmInstance, at: int, size: int) -> bytes:
    """Guest memory between two calls."""
    assert one._guest is not None
    assert one._guest.memory is not None
    return one._guest.memory.read(at, size)


def put(one: WasmInstance, at: int, content: bytes) -> None:
    assert one._guest is not None
    assert one._guest.memory is not None
    one._guest.memory.write(at, content)


async def answer(one: WasmInstance) -> int:
    """What the tick answers."""
    try:
        await one.tick()
    except TickFailed as failed:
        return int(str(failed).split("answered ")[1].split(";")[0])
    return 0


def slots(map_: BpfMap, number: int) -> bytes:
    """A value: the number in each slot, plus the slot."""
    return struct.pack(f"<{map_.info.cpus}Q", *[number + cpu for cpu in range(map_.info.cpus)])


WALK = f"""(block $end (loop $next
    (local.set $m (call $map_batch (i32.const 0)
      (i32.add (i32.const {KEYS}) (i32.shl (local.get $n) (i32.const 3))) (i32.const {VALUES}) (i32.const 8)))
    (br_if $end (i32.le_s (local.get $m) (i32.const 0)))
    (local.set $n (i32.add (local.get $n) (local.get $m))) (br $next)))
  (if (result i32) (i32.lt_s (local.get $m) (i32.const 0)) (then (local.get $m)) (else (local.get $n)))"""
LOOK = f"(call $map_lookup (i32.const 0) (i32.const {KEYS}) (i32.const 3) (i32.const {VALUES}) (i32.const {FOUND}))"
WRITE = "(call $map_update (i32.const 0) (i32.const {keys}) (i32.const {values}) (i32.const {count}) (i32.const 0))"


@pytest.mark.parametrize("kind", KEYED, ids=lambda kind: kind.name)
def test_a_keyed_map_is_walked_and_looked_up(world: Worlds, kind: MapKind) -> None:
    async def run() -> None:
        async with world() as here:
            with made(kind) as map_:
                for number in (1, 5, 6):
                    map_.update(struct.pack("<I", number), slots(map_, 100 * number))
                walker = await guest(here, map_, WALK)
                is_array = kind in (MapKind.ARRAY, MapKind.PERCPU_ARRAY)
                walked = 8 if is_array else 3
                for _ in range(2):
                    assert await answer(walker) == walked
                    keys = struct.unpack(f"<{walked}I", memory(walker, KEYS, 4 * walked))
                    assert set(keys) == (set(range(8)) if is_array else {1, 5, 6})
                asker = await guest(here, map_, LOOK, "two")
                put(asker, KEYS, struct.pack("<III", 5, 6, 7))
                assert await answer(asker) == (3 if is_array else 2)
                assert memory(asker, FOUND, 3) == bytes([1, 1, int(is_array)])
                stride = map_.info.stride
                assert memory(asker, VALUES, 2 * stride) == slots(map_, 500) + slots(map_, 600)

    asyncio.run(run())


@pytest.mark.parametrize("kind", KEYED, ids=lambda kind: kind.name)
def test_a_keyed_map_is_written_by_slots(world: Worlds, kind: MapKind) -> None:
    async def run() -> None:
        async with world() as here:
            with made(kind) as map_:
                one = await guest(here, map_, WRITE.format(keys=KEYS, values=VALUES, count=2))
                put(one, KEYS, struct.pack("<II", 2, 3))
                put(one, VALUES, slots(map_, 20) + slots(map_, 30))
                assert await answer(one) == 2
                assert map_.lookup(struct.pack("<I", 3)) == slots(map_, 30)

    asyncio.run(run())


def test_a_full_hash_says_so_and_an_lru_forgets(world: Worlds) -> None:
    many = struct.pack("<64I", *range(64))

    async def run() -> None:
        async with world() as here:
            for kind, name in ((MapKind.HASH, "one"), (MapKind.LRU_HASH, "two")):
                with made(kind, most=8) as map_:
                    one = await guest(here, map_, WRITE.format(keys=KEYS, values=VALUES, count=64), name)
                    put(one, KEYS, many)
                    written = await answer(one)
                    if kind is MapKind.HASH:
                        assert 8 <= written < 64  # a few more where the kernel keeps some for each CPU
                        put(one, KEYS, struct.pack("<64I", *range(100, 164)))
                        assert await answer(one) == Error.FULL
                    else:
                        assert written == 64
                        assert map_.entries().count < 64

    asyncio.run(run())


def test_entries_of_an_array_are_not_deleted(world: Worlds) -> None:
    delete = f"(call $map_delete (i32.const 0) (i32.const {KEYS}) (i32.const 1))"

    async def run() -> None:
        async with world() as here:
            with made(MapKind.ARRAY) as map_:
                assert await answer(await guest(here, map_, delete)) == Error.UNSUPPORTED

    asyncio.run(run())


def test_a_trie_answers_by_the_longest_prefix(world: Worlds) -> None:
    """Networks of IPv4 as keys: prefix length, then address."""

    def network(bits: int, *address: int) -> bytes:
        return struct.pack("<I", bits) + bytes(address)

    async def run() -> None:
        async with world() as here:
            with made(MapKind.LPM_TRIE, key=8, flags=NO_PREALLOC) as map_:
                map_.update(network(8, 10, 0, 0, 0), struct.pack("<Q", 8))
                map_.update(network(24, 10, 1, 2, 0), struct.pack("<Q", 24))
                one = await guest(here, map_, LOOK)
                put(one, KEYS, network(32, 10, 1, 2, 3) + network(32, 10, 9, 9, 9) + network(32, 11, 0, 0, 1))
                assert await answer(one) == 2
                assert memory(one, VALUES, 16) == struct.pack("<QQ", 24, 8)
                assert memory(one, FOUND, 3) == b"\1\1\0"
                batch = f"(call $map_batch (i32.const 0) (i32.const {KEYS}) (i32.const {VALUES}) (i32.const 8))"
                walker = await guest(here, map_, batch, "two")
                assert await answer(walker) == 2
                keys = memory(walker, KEYS, 16)
                assert {keys[:8], keys[8:]} == {network(8, 10, 0, 0, 0), network(24, 10, 1, 2, 0)}

    asyncio.run(run())


@pytest.mark.parametrize(("kind", "order"), [(MapKind.QUEUE, (1, 2, 3)), (MapKind.STACK, (3, 2, 1))])
def test_queues_and_stacks_are_filled_and_popped(world: Worlds, kind: MapKind, order: tuple[int, ...]) -> None:
    pop = f"(call $map_pop (i32.const 0) (i32.const {KEYS}) (i32.const 16))"

    async def run() -> None:
        async with world() as here:
            with made(kind, key=0) as map_:
                giver = await guest(here, map_, WRITE.format(keys=0, values=VALUES, count=3))
                put(giver, VALUES, struct.pack("<3Q", 1, 2, 3))
                assert await answer(giver) == 3
                taker = await guest(here, map_, pop, "two")
                assert await answer(taker) == 3
                assert struct.unpack("<3Q", memory(taker, KEYS, 24)) == order
                assert await answer(taker) == 0
                asker = await guest(here, map_, LOOK, "three")
                assert await answer(asker) == Error.UNSUPPORTED

    asyncio.run(run())


@pytest.mark.parametrize("kind", [*KEYED, MapKind.LPM_TRIE, MapKind.QUEUE, MapKind.STACK], ids=lambda kind: kind.name)
def test_info_tells_type_and_sizes(world: Worlds, kind: MapKind) -> None:
    key = {MapKind.LPM_TRIE: 8, MapKind.QUEUE: 0, MapKind.STACK: 0}.get(kind, 4)
    flags = NO_PREALLOC if kind is MapKind.LPM_TRIE else 0

    async def run() -> None:
        async with world() as here:
            with made(kind, key=key, value=12, flags=flags) as map_:
                one = await guest(here, map_, f"(call $map_info (i32.const 0) (i32.const {KEYS}))")
                assert await answer(one) == 0
                stride = 16 * map_.info.cpus if map_.info.type.is_percpu else 12
                wanted = (Numbers[kind.name], key, 12, stride, 8, map_.info.cpus, Access.READ_WRITE, 0)
                assert struct.unpack("<8I", memory(one, KEYS, 32)) == wanted

    asyncio.run(run())


def test_a_perf_buffer_is_refused_with_what_helps(world: Worlds) -> None:
    """By the need when it is loaded, else when the guest opens the stream."""
    wat = Wat()
    stream = f"(call $stream_open (call $map_open {wat.text('some')}) (i32.const {KEYS}) (i32.const 8192))"
    module = wat.build(start=stream)

    async def run() -> None:
        async with world() as here:
            with made(MapKind.PERF_EVENT_ARRAY, value=4) as map_:
                grants = (MapGrant(name="some", kernel_program=Name("k"), map="some", access=Access.READ_WRITE),)
                with pytest.raises(ProgramCrashed, match=f"answered {int(Error.UNSUPPORTED)};"):
                    await here.open(module, maps={"some": map_}, grants=grants)
                assert any("ring buffer" in line for line in here.said())

    asyncio.run(run())
    with pytest.raises(InvalidSpec, match=r"maps\[0\]\.type.*ring buffer"):
        parse_needs(b'{"abi": 1, "maps": [{"name": "x", "type": "perf_event_array"}]}')
