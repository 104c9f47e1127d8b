from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conductor.errors import InvalidSpec
from conductor.model.protobuf import MAX_FIELDS, MAX_UNKNOWN, check
from conductor.proto.bpfman import v1 as pb
from conductor.proto.conductor.loader.v1 import ProgramsRequest

LOAD = pb.LoadRequest(
    bytecode=pb.BytecodeLocation(file="/x.o"),
    metadata={"owner": "exp", "": ""},
    global_data={"rate": b"\x00\xff"},
    map_owner_id=7,
    info=[pb.LoadInfo(name="count", program_type=pb.BpfmanProgramType(2))],
)
GOLDEN = bytes.fromhex("0a061a042f782e6f2a0c0a056f776e657212036578704a120a0e636f756e745f73797363616c6c731002")


def refused(data: bytes, message: type = pb.LoadRequest) -> InvalidSpec:
    with pytest.raises(InvalidSpec) as caught:
        check(data, message)
    return caught.value


def test_a_whole_message_passes() -> None:
    check(bytes(LOAD), pb.LoadRequest)
    check(GOLDEN, pb.LoadRequest)
    check(b"", pb.LoadRequest)


def test_every_cut_of_a_message_with_one_field_is_refused() -> None:
    data = bytes(pb.BytecodeLocation(image=pb.BytecodeImage(url="127.0.0.1/a", password="x")))
    for length in range(1, len(data)):
        refused(data[:length], pb.BytecodeLocation)


def test_a_cut_nested_field_is_named_by_its_path() -> None:
    assert refused(b"\x0a\x04\x1a\x05ab").field == "bytecode.file"


def test_bad_utf8_is_named_by_its_path() -> None:
    error = refused(b"\x4a\x04\x0a\x02a\xff")
    assert (error.field, error.problem) == ("info.name", "no UTF-8 at byte 1")


def test_bad_utf8_in_a_map_key_is_refused() -> None:
    assert refused(b"\x2a\x03\x0a\x01\xff").field == "metadata.key"


def test_bytes_need_not_be_utf8() -> None:
    check(bytes(pb.LoadRequest(global_data={"a": b"\xff\xfe"})), pb.LoadRequest)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\x0d\x00\x00\x00\x00", "wire type 5"),
        (b"\x40\x01\x08\x01", "wire type 0, not 2"),
        (b"\x0b", "not used"),
        (b"\x0f", "not used"),
        (b"\x02\x00", "no field number"),
        (b"\x40\xff", "cut short inside a number"),
        (b"\x40" + b"\xff" * 10, "longer than 10"),
        (b"\x40" + b"\xff" * 9 + b"\x7f", "past 64 bits"),
        (b"\x42\x01\x07", "wire type 2, not 0"),
    ],
)
def test_bad_wire_format_is_refused(data: bytes, problem: str) -> None:
    assert problem in str(refused(data))


def test_repeated_numbers_may_be_packed_or_not() -> None:
    check(b"\x0a\x02\x01\x02", ProgramsRequest)
    check(b"\x08\x01\x08\x02", ProgramsRequest)


def test_packed_numbers_cut_short_are_refused() -> None:
    assert refused(b"\x0a\x02\x01\x80", ProgramsRequest).field == "ids"


def test_unknown_fields_pass_when_they_are_whole_and_few() -> None:
    check(b"\xa2\x06\x01x" * MAX_UNKNOWN, pb.LoadRequest)
    refused(b"\xa2\x06\x01x" * (MAX_UNKNOWN + 1))
    refused(b"\xa2\x06\x02x")


def test_numerous_fields_are_refused() -> None:
    refused(b"\x2a\x00" * (MAX_FIELDS + 1))
    refused(b"\x0a\x84\x80\x04" + b"\x01" * (MAX_FIELDS + 4), ProgramsRequest)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_what_passes_can_be_parsed(data: bytes) -> None:
    try:
        check(data, pb.LoadRequest)
    except InvalidSpec:
        return
    pb.LoadRequest().parse(data)


@settings(deadline=None)
@given(st.binary(max_size=40), st.integers(0, 60))
def test_a_message_with_bytes_put_in_is_refused_or_parsed(junk: bytes, at: int) -> None:
    data = bytes(LOAD)[:at] + junk + bytes(LOAD)[at:]
    try:
        check(data, pb.LoadRequest)
    except InvalidSpec:
        return
    pb.LoadRequest().parse(data)
