"""Our printing and reading of messages against betterproto's own, for every class of the service."""

from __future__ import annotations

import dataclasses
from typing import Any

import betterproto
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conductor.api.decoding import decoded
from conductor.api.encoding import encoded
from conductor.api.message_layout import made
from conductor.proto.agent import v1 as pb
from conductor.proto.grpc.health import v1 as health

KINDS = [
    kind
    for module in (pb, health)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, betterproto.Message) and kind.__module__ == module.__name__
]
RANGES = {"uint32": (0, 2**32 - 1), "uint64": (0, 2**64 - 1), "int32": (-(2**31), 2**31 - 1)}
SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(min_size=1, max_size=5),  # betterproto loses a map's entry of two empty strings
    "bytes": st.binary(max_size=5),
    "bool": st.booleans(),
    "double": st.floats(allow_nan=False),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "enum": st.integers(0, 3),
    **{kind: st.integers(*ends) for kind, ends in RANGES.items()},
}


def messages(kind: Any) -> st.SearchStrategy[Any]:
    """Messages of a class, with any of their fields set; of those that exclude each other one at most."""
    known = kind()._betterproto
    given_: dict[str, st.SearchStrategy[Any]] = {}
    for field in dataclasses.fields(kind):
        meta = field.metadata["betterproto"]
        if meta.proto_type == "map":
            entry = known.cls_by_field[field.name]
            parts = {part.name: part.metadata["betterproto"].proto_type for part in dataclasses.fields(entry)}
            nested = entry()._betterproto.cls_by_field.get("value")
            # betterproto leaves a value out that has nothing but defaults, which read the same
            value = messages(nested).filter(bytes) if parts["value"] == "message" else SCALARS[parts["value"]]
            one: Any = st.dictionaries(SCALARS[parts["key"]], value, max_size=3)
        elif meta.proto_type == "message":
            one = messages(known.cls_by_field[field.name])
        elif meta.proto_type == "enum":
            one = SCALARS["enum"].map(known.cls_by_field[field.name].try_value)
        else:
            one = SCALARS[meta.proto_type]
        given_[field.name] = st.lists(one, max_size=3) if known.default_gen[field.name] is list else one
    exclusive = [sorted(field.name for field in group) for group in known.oneof_field_by_group.values()]

    def chosen(values: dict[str, Any]) -> Any:
        beaten = {name for group in exclusive for name in [name for name in group if name in values][1:]}
        return kind(**{name: value for name, value in values.items() if name not in beaten})

    return st.fixed_dictionaries({}, optional=given_).map(chosen)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_messages_are_printed_and_read_as_betterproto_does(kind: Any) -> None:
    @settings(max_examples=8, deadline=None)
    @given(messages(kind))
    def compare(message: Any) -> None:
        data = bytes(message)
        assert encoded(message) == data
        read = decoded(data, kind)
        assert read == kind().parse(data)
        assert bytes(read) == data
        assert encoded(read) == data
        for group in read._betterproto.oneof_field_by_group:
            assert betterproto.which_one_of(read, group) == betterproto.which_one_of(kind().parse(data), group)

    compare()


def test_fields_that_this_version_does_not_know_are_handed_on() -> None:
    unknown = b"\xf8\x06\x05" + b"\x82\x07\x03abc" + b"\x89\x07" + bytes(8) + b"\x95\x07" + bytes(4)
    data = bytes(pb.NameRequest(name="a")) + unknown
    read = decoded(data, pb.NameRequest)
    assert read == pb.NameRequest().parse(data)
    assert encoded(read) == bytes(pb.NameRequest().parse(data)) == data


def test_a_message_that_is_made_quickly_is_the_same() -> None:
    fields: dict[str, Any] = {"name": "a", "state": 2, "maps": [pb.MapGrant(name="m")], "metadata": {"k": "v"}}
    quick = made(pb.ProgramInfo, **fields)
    assert quick == pb.ProgramInfo(**fields)
    assert encoded(quick) == bytes(quick) == bytes(pb.ProgramInfo(**fields))
    assert (made(pb.ProgramInfo).maps, quick.digest) == ([], "")
    with pytest.raises(TypeError, match="ProgramInfo has no field nome"):
        made(pb.ProgramInfo, nome="a")


def test_the_last_of_what_excludes_each_other_counts() -> None:
    data = bytes(pb.BytecodeLocation(file="/x")) + bytes(pb.BytecodeLocation(digest="sha256:0"))
    read = decoded(data, pb.BytecodeLocation)
    assert betterproto.which_one_of(read, "location") == ("digest", "sha256:0")
    assert encoded(read) == bytes(pb.BytecodeLocation(digest="sha256:0"))


def test_an_absent_field_has_its_default_and_an_optional_one_none() -> None:
    info = decoded(b"", pb.ProgramInfo)
    assert (info.name, info.state, info.maps, info.metadata) == ("", 0, [], {})
    assert decoded(b"", pb.ListRequest).program_type is None
    assert decoded(b"", pb.GetResponse).info is None


def test_a_map_s_entry_of_two_empty_strings_is_not_lost() -> None:
    message = pb.ListRequest(match_metadata={"": ""})
    assert decoded(encoded(message), pb.ListRequest) == message


def test_numbers_packed_or_not_are_one_list() -> None:
    packed = bytes(pb.KernelFunction(map_ids=[1, 300]))
    loose = b"\x28\x01\x28\xac\x02"
    assert encoded(pb.KernelFunction(map_ids=[1, 300])) == packed
    assert decoded(packed, pb.KernelFunction).map_ids == decoded(loose, pb.KernelFunction).map_ids == [1, 300]
