"""A guest that calls any import with any arguments, on real maps and a real store: for tests that throw numbers at it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from conductor.bpf.maps import BpfMap
from conductor.exporter.store import SeriesStore
from conductor.managers.cells import CellFiles
from conductor.model.grants import Access, MapGrant
from conductor.model.ids import Name
from conductor.model.kernel import PathObject
from conductor.model.program import Limits, UserProgramSpec, WasmSource
from conductor.ports import LogSink, MapHandle, ProgramContext
from conductor.wasm.abi import IMPORTS, Type
from conductor.wasm.engine import Engine
from conductor.wasm.guest import Guest
from conductor.wasm.hostcalls.wasi import FUNCTIONS
from conductor.wasm.linker import Linker
from conductor.wasm.reach import Reach
from conductor.wasm.streams import Streams
from tests.fakes.lookup import FakeLookup
from tests.wasm.conftest import Loaded
from tests.wasm.guests import Wat

__all__ = ["CALLS", "EDGE", "OURS", "SLOTS", "dispatcher", "number_of", "put", "reaching", "with_maps"]

SLOTS: Final = 1024
"""Where the dispatching guest finds its arguments, 8 bytes each."""
PAGES: Final = 6
EDGE: Final = PAGES * 65_536
OURS = [(one.name, [kind for _, kind in one.parameters], one.result) for one in IMPORTS]
THEIRS = [(name, list(kinds[0]), Type.I32) for name, kinds in FUNCTIONS.items()]
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
        if name == "proc_exit":
            call = f"{call} (i32.const 0)"
        cases += f"(if (i64.eq (local.get $now) (i64.const {i})) (then {call} (return)))"
    return Wat().build(tick=f"{cases} (i32.const 0)", pages=PAGES)


def number_of(name: str) -> int:
    """What the tick is given to call an import."""
    return [one for one, _, _ in CALLS].index(name)


def put(guest: Guest, at: int, content: bytes) -> None:
    """Write into guest memory."""
    assert guest.memory is not None
    guest.memory.write(at, content)


@contextmanager
def with_maps(loaded: Loaded) -> Iterator[dict[str, MapHandle]]:
    """One real map of each kind that hosts treat differently."""
    made = loaded("counters")
    maps: dict[str, MapHandle] = {name: BpfMap.from_fd(os.dup(made.map_fd(name))) for name in ("by_pid", "total")}
    ring = loaded("events", {"only_pid": b"\xff\xff\xff\x7f"})
    maps |= {name: BpfMap.from_fd(os.dup(ring.map_fd(name))) for name in ("events", "queue")}
    try:
        yield maps
    finally:
        for one in maps.values():
            one.close()


@contextmanager
def reaching(
    folder: Path, maps: dict[str, MapHandle] | None = None, *, log: LogSink = lambda _level, _line: None
) -> Iterator[Guest]:
    """Start the guest; its calls have 10 s of CPU."""
    maps = maps or {}
    grants = tuple(MapGrant(name=n, kernel_program=Name("k"), map=n, access=Access.READ_WRITE) for n in maps)
    cells = CellFiles(root=folder)
    cells.prepare()
    limits = Limits(series=50)
    context = ProgramContext(
        name=Name("one"),
        config={},
        maps=maps,
        series=SeriesStore().sink("one", 50),
        lookup=FakeLookup(),
        log=log,
        state=cells.cell(Name("one")),
    )
    engine = Engine.made()
    linker = Linker(engine)  # its callbacks live as long as it does
    ready = engine.ready(engine.compile(dispatcher()), linker.pointer)
    streams = Streams(inbox_bytes=65_536, on_offer=lambda: None)
    source = WasmSource(location=PathObject(path="/x", digest=""))
    spec = UserProgramSpec(name=Name("one"), source=source, limits=limits, maps=grants)
    reach = Reach(spec=spec, context=context, config={"a": 1}, open_stream=streams.open)
    guest = Guest(name="one", engine=engine, ready=ready, reach=reach, memory_most=limits.memory)
    reach.belong(guest)
    guest.start(cpu=5, wall=20)
    try:
        yield guest
    finally:
        guest.close()
        linker.close()
