"""Damaged objects end as errors of ours; libbpf parses them in a forked child, which must live to say so."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from conductor.bpf.binaries import symbol_offset
from conductor.bpf.btf import cut_btf, has_relocations, map_layouts
from conductor.bpf.objects import BpfObject
from conductor.errors import ConductorError

Compiled = Callable[[str], Path]
NAMES = some.sampled_from(["core", "counters", "events", "hooks"])
WORDS = some.sampled_from([0, 1, 3, 16, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF]) | some.integers(0, 0xFFFF_FFFF)
EDITS = some.lists(
    some.tuples(some.floats(0, 1, exclude_max=True), some.sampled_from([1, 4]), WORDS), min_size=1, max_size=6
)
FINE, OTHER = 0, 1


def damaged(data: bytes, edits: list[tuple[float, int, int]], cut: int) -> bytes:
    made = bytearray(data[: len(data) - cut] or b"\0")
    for place, size, word in edits:
        at = int(place * len(made))
        made[at : at + size] = struct.pack("<I", word)[: min(size, len(made) - at)]
    return bytes(made)


def outcome(work: Callable[[], object]) -> int:
    """Run in a child; FINE when it worked or raised an error of ours, else OTHER or the signal's negative number."""
    child = os.fork()
    if child == 0:
        code = OTHER
        try:
            work()
            code = FINE
        except ConductorError:
            code = FINE
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def opened(data: bytes) -> None:
    with BpfObject.open(data, name="garbage") as made:
        assert len(made.programs) + len(made.maps) + len(made.globals) >= 0
        for variable in made.globals:
            made.set_global(variable.name, bytes(min(variable.size, 4096)))


@pytest.mark.kernel
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=NAMES, edits=EDITS, cut=some.sampled_from([0, 0, 0, 1, 100]))
def test_a_damaged_object_never_takes_the_process_along(
    compiled: Compiled, name: str, edits: list[tuple[float, int, int]], cut: int
) -> None:
    data = damaged(compiled(name).read_bytes(), edits, cut)
    assert outcome(lambda: opened(data)) == FINE


@pytest.mark.kernel
@settings(max_examples=30, deadline=None)
@given(some.binary(max_size=500))
def test_bytes_of_any_kind_are_refused(data: bytes) -> None:
    for candidate in (data, b"\x7fELF" + data, b"\x7fELF\x02\x01\x01" + data):
        with pytest.raises(ConductorError):
            BpfObject.open(candidate)


@pytest.mark.kernel
@settings(max_examples=150, deadline=None)
@given(place=some.floats(0, 1, exclude_max=True), word=WORDS)
def test_damage_to_types_is_refused_before_libbpf_reads_them(compiled: Compiled, place: float, word: int) -> None:
    from conductor.bpf.object_file import checked_object

    data = bytearray(compiled("events").read_bytes())
    section = checked_object(bytes(data), "whole").section(".BTF")
    assert section is not None
    at = section.offset + int(place * (section.size - 4))
    data[at : at + 4] = struct.pack("<I", word)
    assert outcome(lambda: opened(bytes(data))) == FINE


@settings(max_examples=150, deadline=None)
@given(name=NAMES, edits=EDITS, cut=some.sampled_from([0, 0, 100]))
def test_our_own_parsers_raise_errors_of_ours_alone(
    compiled: Compiled,
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    edits: list[tuple[float, int, int]],
    cut: int,
) -> None:
    data = damaged(compiled(name).read_bytes(), edits, cut)
    kernel = damaged(compiled("layouts").read_bytes(), edits, cut)
    path = tmp_path_factory.getbasetemp() / "garbage.o"
    path.write_bytes(data)
    for work in (
        lambda: map_layouts(data),
        lambda: has_relocations(data),
        lambda: cut_btf(data, kernel),
        lambda: symbol_offset(path, "on_enter"),
    ):
        try:
            work()
        except ConductorError as error:
            assert str(error)  # noqa: PT017 either outcome is right
