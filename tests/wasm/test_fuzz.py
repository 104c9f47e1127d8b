"""Imports called with any numbers, in any order: a code, never a fault, nothing outside the guest's memory."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conductor.errors import CallBudget, ProgramCrashed, ProgramExited
from conductor.wasm.abi import Error
from conductor.wasm.guest import Guest
from tests.wasm.conftest import Loaded
from tests.wasm.reaching import CALLS, EDGE, OURS, SLOTS, number_of, put, reaching, with_maps

UNENDING = [i for i, (name, _, _) in enumerate(CALLS) if name not in ("proc_exit", "poll_oneoff")]
"""Calls after which the guest goes on."""


@pytest.fixture
def reached(loaded: Loaded, tmp_path: Path) -> Iterator[Guest]:
    with with_maps(loaded) as maps, reaching(tmp_path / "cells", maps) as guest:
        yield guest


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
steps = st.lists(st.tuples(st.sampled_from(UNENDING), st.lists(number, min_size=9, max_size=9), texts), max_size=20)


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


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(subscriptions=st.binary(min_size=96, max_size=96), arguments=st.lists(number, min_size=4, max_size=4))
def test_waiting_ends_with_the_call(tmp_path: Path, subscriptions: bytes, arguments: list[int]) -> None:
    """Whatever is waited for, the call answers or is over its time; both are told as they are."""
    with reaching(tmp_path / "cells") as guest:
        put(guest, SLOTS, struct.pack("<4Q", *arguments))
        put(guest, 2048, subscriptions)
        try:
            assert 0 <= guest.call("conductor_v1_tick", number_of("poll_oneoff"), cpu=1, wall=0.03) < 100
        except CallBudget:
            assert guest.failure is not None


def test_what_a_host_function_calls_cannot_call_the_guest(tmp_path: Path) -> None:
    """Exports are never re-entered: who tries ends the instance, and nobody else."""
    inside: list[Guest] = []

    def log(level: str, message: str) -> None:
        del level, message
        inside[0].call("conductor_v1_tick", number_of("clock"), cpu=1, wall=1)

    with reaching(tmp_path / "cells", log=log) as guest, reaching(tmp_path / "others") as other:
        inside.append(guest)
        put(guest, SLOTS, struct.pack("<3Q", 1, 2048, 5))
        with pytest.raises(ProgramCrashed, match="host function log failed"):
            guest.call("conductor_v1_tick", number_of("log"), cpu=1, wall=5)
        assert other.call("conductor_v1_tick", len(CALLS), cpu=1, wall=5) == 0
        inside[0] = other  # the store of another, while this thread is inside one
    with reaching(tmp_path / "third", log=log) as guest, reaching(tmp_path / "fourth") as other:
        inside[0] = other
        put(guest, SLOTS, struct.pack("<3Q", 1, 2048, 5))
        with pytest.raises(ProgramCrashed, match="host function log failed"):
            guest.call("conductor_v1_tick", number_of("log"), cpu=1, wall=5)
        assert other.call("conductor_v1_tick", len(CALLS), cpu=1, wall=5) == 0


def test_exit_ends_it_whatever_the_code(tmp_path: Path) -> None:
    with reaching(tmp_path / "cells") as guest:
        put(guest, SLOTS, struct.pack("<Q", 0xFFFFFFFF))
        with pytest.raises(ProgramExited, match="4294967295"):
            guest.call("conductor_v1_tick", number_of("proc_exit"), cpu=1, wall=5)


@pytest.mark.kernel
def test_handles_of_another_instance_mean_nothing(loaded: Loaded, tmp_path: Path) -> None:
    """The same maps are granted to both; one opened them, the other did not."""
    with (
        with_maps(loaded) as maps,
        reaching(tmp_path / "cells", maps) as guest,
        reaching(tmp_path / "others", maps) as other,
    ):
        open_all(guest)
        for name in ("map_info", "map_batch", "map_lookup", "map_update", "map_delete", "map_pop", "map_rewind"):
            put(other, SLOTS, struct.pack("<6Q", 0, 4096, 8192, 1, 16_384, 0))
            assert other.call("conductor_v1_tick", number_of(name), cpu=1, wall=5) == Error.HANDLE, name
        put(other, SLOTS, struct.pack("<5Q", 0, 4096, 0, 1, 8192))
        assert other.call("conductor_v1_tick", number_of("metric_series"), cpu=1, wall=5) == Error.HANDLE
        put(other, SLOTS, struct.pack("<4Q", 0, 4096, 8192, 1))
        assert other.call("conductor_v1_tick", number_of("metric_write"), cpu=1, wall=5) == Error.HANDLE


@pytest.mark.kernel
@pytest.mark.parametrize("size", [1, 8, 4096, 65_536])
def test_nothing_is_written_past_the_end(reached: Guest, size: int) -> None:
    """Every import is pointed at the last bytes of memory and told of more: behind them lies what ends this process."""
    open_all(reached)
    assert reached.memory is not None
    at = EDGE - size
    for which in UNENDING:
        for place in range(4):
            arguments = [0, 4096, 4096, 4096, 4096, 4096]
            arguments[place] = at
            arguments[place + 1] = size + 8
            put(reached, SLOTS, struct.pack("<6Q", *arguments))
            reached.call("conductor_v1_tick", which, cpu=10, wall=60)
            assert reached.failure is None, CALLS[which][0]
            assert reached.memory.size == EDGE
