"""The barrier that reading rings takes on processors that reorder loads; here it is asked for."""

from __future__ import annotations

import asyncio
import platform
from ctypes import byref
from dataclasses import replace

import pytest

from conductor.bpf.objects import BpfObject
from conductor.ports import RingHandle
from conductor.wasm.capi import HELD, Bytes, taken
from conductor.wasm.engine import Engine
from conductor.wasm.fence import TEXT, Fence, is_ordered
from conductor.wasm.needs import Needs
from conductor.wasm.settings import FEATURES
from tests.wasm.guests import ring_counter
from tests.wasm.rings import balances, consumed, emit, opened, until
from tests.wasm.world import QUICK, Worlds

BARRIERS = {"x86_64": b"\x0f\xae\xf0", "aarch64": b"\xbf\x3b\x03\xd5"}
"""mfence; dmb ish."""


def test_only_amd64_goes_without() -> None:
    assert is_ordered("x86_64")
    assert not is_ordered("aarch64")
    assert not is_ordered("riscv64")


def test_it_is_compiled_to_the_processors_barrier() -> None:
    engine, binary = Engine.made({**FEATURES, "wasm_threads": True}), Bytes()
    assert not HELD.wasmtime_wat2wasm(TEXT, len(TEXT), byref(binary))
    assert BARRIERS[platform.machine()] in engine.compile(taken(binary))
    engine.close()


def test_it_can_be_waited_for_while_it_is_open() -> None:
    for real, counted in ((True, 2), (False, 0)):
        fence = Fence(real=real)
        fence.wait()
        fence.open()
        fence.wait()
        fence.wait()
        assert fence.count == counted
        fence.close()
        fence.close()
        fence.wait()


@pytest.mark.kernel
@pytest.mark.parametrize("fences", [True, False])
def test_rings_are_read_with_it_as_without(world: Worlds, events: BpfObject, look: RingHandle, fences: bool) -> None:
    async def run() -> None:
        async with world(replace(QUICK, fences=fences)) as here:
            with opened(events) as ring:
                one = await here.open(ring_counter(Needs()), maps={"events": ring}, grants=consumed("events"))
                await emit(500, into=look)
                await until(lambda: one.cost().events_delivered == 500)
                assert here.value("walked_total") == 500
                assert balances(one.cost())
                host = here.runtime._host
                assert host is not None
                assert (host.pump.fence.count > 0) is fences
                await one.close()

    asyncio.run(run())
