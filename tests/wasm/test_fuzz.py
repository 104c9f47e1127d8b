"""Garbage at every door: modules with changed bytes, and imports called with any numbers, in any order."""

from __future__ import annotations

import asyncio
import ctypes
import os
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conductor.bpf.maps import BpfMap
from conductor.errors import ConductorError, ProgramCrashed, TickFailed
from conductor.exporter.store import SeriesStore
from conductor.managers.cells import CellFiles
from conductor.model.grants import Access, MapGrant
from conductor.model.ids import Name
from conductor.model.kernel import PathObject
from conductor.model.program import Limits, UserProgramSpec, WasmSource
from conductor.ports import MapHandle, ProgramContext
from conductor.wasm.abi import IMPORTS, Error, Type
from conductor.wasm.anatomy import examine
from conductor.wasm.engine import Engine
from conductor.wasm.guest import Guest
from conductor.wasm.hostcalls.wasi import FUNCTIONS
from conductor.wasm.linker import Linker
from conductor.wasm.reach import Reach
from conductor.wasm.streams import Streams
from tests.fakes.lookup import FakeLookup
from tests.wasm.conftest import Loaded
from tests.wasm.guests import Wat, counting
from tests.wasm.world import Worlds

SEED = random.randrange(1 << 32)
SLOTS = 1024
"""Where the dispatching guest finds its arguments, 8 bytes each."""
PAGES = 6
OURS = [(one.name, [kind for _, kind in one.parameters], one.result) for one in IMPORTS]
THEIRS = [
    (name, list(kinds[0]), Type.I32) for name, kinds in FUNCTIONS.items() if name not in ("proc_exit", "poll_oneoff")
]
CALLS = OURS + THEIRS


def dispatcher() -> bytes:
    """Calls the import whose number the tick is given, with arguments from memory."""
    cases = ""
    for i, (name, kinds, result) in enumerate(CALLS):
        loads = " ".join(
            f"({'i32' if kind is Type.I32 else 'i64'}.load (i32.const {SLOTS + 8 * k}))" for k, kind in enumerate(kinds)
        )
        call = f"(call ${name} {loads})"
        if result is Type.I64:
            call = f"(i32.wrap_i64 {call})"
        cases += f"(if (i64.eq (local.get $now) (i64.const {i})) (then (return {call})))"
    return Wat().build(tick=f"{cases} (i32.const 0)", pages=PAGES)


@pytest.fixture
def reached(loaded: Loaded, tmp_path: Path) -> Iterator[Guest]:
    """A guest that reaches real maps and a real store."""
    made = loaded("counters")
    maps: dict[str, MapHandle] = {name: BpfMap.from_fd(os.dup(made.map_fd(name))) for name in ("by_pid", "total")}
    ring = loaded("events", {"only_pid": b"\xff\xff\xff\x7f"})
    maps |= {name: BpfMap.from_fd(os.dup(ring.map_fd(name))) for name in ("events", "queue")}
    grants = tuple(MapGrant(name=n, kernel_program=Name("k"), map=n, access=Access.READ_WRITE) for n in maps)
    cells = CellFiles(root=tmp_path / "cells")
    cells.prepare()
    limits = Limits(series=50)
    context = ProgramContext(
        name=Name("one"),
        config={},
        maps=maps,
        series=SeriesStore().sink("one", 50),
        lookup=FakeLookup(),
        log=lambda _level, _line: None,
        state=cells.cell(Name("one")),
    )
    engine = Engine.made()
    linker = Linker(engine)  # its callbacks live as long as it does
    ready = engine.ready(engine.compile(dispatcher()), linker.pointer)
    streams = Streams(inbox_bytes=65_536, on_offer=lambda: None)
    spec = _spec(limits, grants)
    reach = Reach(spec=spec, context=context, config={"a": 1}, open_stream=streams.open)
    guest = Guest(name="one", engine=engine, ready=ready, reach=reach, memory_most=limits.memory)
    reach.belong(guest)
    guest.start(cpu=5, wall=20)
    yield guest
    guest.close()
    linker.close()
    for one in maps.values():
        one.close()


def _spec(limits: Limits, grants: tuple[MapGrant, ...]) -> UserProgramSpec:
    return UserProgramSpec(
        name=Name("one"), source=WasmSource(location=PathObject(path="/x", digest="")), limits=limits, maps=grants
    )


EDGE = PAGES * 65_536
number = st.one_of(
    st.integers(0, 8),
    st.sampled_from([16, 1024, 1040, 2048, 4096, 65_536, EDGE - 8, EDGE - 1, EDGE, EDGE + 1, 0x7FFFFFFF, 0xFFFFFFFF]),
    st.integers(0, (1 << 64) - 1),
)
texts = st.sampled_from(
    [
        b"by_pid",
        b"total",
        b"events",
        b"queue",
        b'{"name":"m_total","type":"counter","labels":["a"]}',
        b'{"name":"h","type":"histogram","buckets":[1,2]}',
        b'{"name":"g","type":"gauge"}',
        b'{"name":"g","type":"gauge","ttl":1e999}',
        b"[" * 4000,
        b"\xff\xfe",
        struct.pack("<I", 1) + b"x" + struct.pack("<I", 0xFFFFFFFF),
    ]
)
steps = st.lists(
    st.tuples(st.integers(0, len(CALLS) - 1), st.lists(number, min_size=9, max_size=9), texts), max_size=20
)


@pytest.mark.kernel
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_imports_answer_a_code_whatever_they_are_given(
    reached: Guest, steps: list[tuple[int, list[int], bytes]]
) -> None:
    guest = reached
    assert guest.memory is not None
    for which, arguments, text in steps:
        content = struct.pack("<9Q", *arguments)
        ctypes.memmove(guest.memory.at(SLOTS, len(content)), content, len(content))
        ctypes.memmove(guest.memory.at(2048, len(text)), text, len(text))
        if guest.reach.maps._opened == []:
            open_all(guest)
        answer = guest.call("conductor_v1_tick", which, cpu=10, wall=60)
        name = CALLS[which][0]
        if which < len(OURS) and name != "clock":
            assert answer >= min(Error), name
        assert guest.failure is None
        assert guest.memory.size == EDGE


def open_all(guest: Guest) -> None:
    """Handles 0 to 3 and metrics 0 to 2, so that numbers meet something."""
    assert guest.memory is not None
    for name in (b"by_pid", b"total", b"queue", b"events"):
        guest.memory.write(4096, name)
        guest.reach.maps.map_open(4096, len(name))
    for text in (b'{"name":"a_total","type":"counter"}', b'{"name":"b","type":"histogram","buckets":[1]}'):
        guest.memory.write(4096, text)
        guest.reach.metrics.metric_declare(4096, len(text))


def test_modules_with_changed_bytes_are_refused_or_run(world: Worlds) -> None:
    """Hundreds of mutants: looked over, some compiled and run; the host lives on and every failure has a type."""
    rng = random.Random(SEED)
    print("seed", SEED)
    seeds = [counting(), dispatcher()]
    survivors: list[bytes] = []
    for _ in range(400):
        mutant = bytearray(rng.choice(seeds))
        for _ in range(rng.choice((1, 1, 2, 8))):
            mutant[rng.randrange(len(mutant))] = rng.randrange(256)
        if rng.random() < 0.1:
            del mutant[rng.randrange(len(mutant)) :]
        try:
            examine(bytes(mutant))
        except ConductorError:
            continue
        survivors.append(bytes(mutant))

    async def run() -> None:
        async with world() as here:
            good = await here.open(counting("good_total"), "good")
            for i, mutant in enumerate(survivors[:12]):
                try:
                    one = await here.open(mutant, f"m{i}", limits=Limits(cpu_call=0.1))
                    await one.tick()
                except (TickFailed, ProgramCrashed, ConductorError):
                    pass
                await good.tick()
            assert here.value("good_total", "good") == len(survivors[:12])

    assert survivors
    asyncio.run(run())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_bytes_that_claim_to_be_a_module(raw: bytes) -> None:
    with pytest.raises(ConductorError):
        examine(b"\0asm\1\0\0\0" + raw)
