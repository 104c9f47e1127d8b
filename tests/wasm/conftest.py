"""One world per test."""

from __future__ import annotations

import os
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest

from conductor.bpf import links
from conductor.bpf.maps import BpfMap
from conductor.bpf.objects import BpfObject
from conductor.managers.cells import CellFiles
from conductor.ports import RingHandle
from conductor.wasm.runtime import WasmRuntime
from conductor.wasm.tuning import Tuning
from tests.wasm.world import QUICK, Files, World, Worlds


@pytest.fixture
def world(tmp_path: Path) -> Worlds:
    @asynccontextmanager
    async def make(tuning: Tuning = QUICK) -> AsyncIterator[World]:
        cells = CellFiles(root=tmp_path / "cells")
        cells.prepare()
        files = Files(tmp_path)
        async with (
            WasmRuntime.running(files=files, cache_dir=tmp_path / "code", tuning=tuning) as runtime,
            AsyncExitStack() as stack,
        ):
            yield World(runtime=runtime, files=files, cells=cells, stack=stack)

    return make


class Loaded(Protocol):
    def __call__(self, name: str, data: Mapping[str, bytes] | None = None) -> BpfObject: ...


@pytest.fixture
def loaded(compiled: Callable[[str], Path]) -> Iterator[Loaded]:
    """Load an object of tests/objects; closed with the test."""
    with ExitStack() as stack:

        def load(name: str, data: Mapping[str, bytes] | None = None) -> BpfObject:
            made = stack.enter_context(BpfObject.open(compiled(name)))
            for variable, value in (data or {}).items():
                made.set_global(variable, value)
            made.load()
            return made

        yield load


@pytest.fixture
def events(loaded: Loaded, kernel_pid: int) -> Iterator[BpfObject]:
    """events.bpf.c: a record for each getppid of this process in a ring buffer of 4 KiB, which holds 170."""
    made = loaded("events", {"only_pid": struct.pack("<I", kernel_pid)})
    with links.tracepoint(made.program_fd("on_enter"), "raw_syscalls/sys_enter"):
        yield made


@pytest.fixture
def look(events: BpfObject) -> Iterator[RingHandle]:
    """The ring of `events` beside its reader, to see how full it is."""
    with BpfMap.from_fd(os.dup(events.map_fd("events"))) as map_, map_.ring() as ring:
        yield ring
