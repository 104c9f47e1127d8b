from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from conductor.bpf.btf.relocations import essential_name, object_btf
from conductor.bpf.btf.types import Btf, BtfType, Kind, Member, Value, written
from conductor.bpf.object_file import checked_object
from conductor.errors import ObjectUnreadable

KERNEL = Path("/sys/kernel/btf/vmlinux")
TYPES = [
    BtfType(Kind.INT, "int", 4, extra=1 << 24 | 32),
    BtfType(Kind.PTR, "", 1),
    BtfType(Kind.ARRAY, "", 0, array=(1, 1, 7)),
    BtfType(Kind.STRUCT, "pair", 8, members=(Member("a", 1, 0), Member("b", 1, 32))),
    BtfType(Kind.ENUM, "colour", 4, values=(Value("RED", 1), Value("BLUE", 2))),
    BtfType(Kind.ENUM64, "wide", 8, values=(Value("FAR", 1, 9),)),
    BtfType(Kind.FWD, "hidden", 0, flag=True),
    BtfType(Kind.TYPEDEF, "pair_t", 4),
    BtfType(Kind.FUNC_PROTO, "", 1, members=(Member("x", 2, 0),)),
    BtfType(Kind.FUNC, "call", 9, extra=1),
    BtfType(Kind.VAR, "seen", 1, extra=1),
    BtfType(Kind.DATASEC, ".bss", 4, members=(Member("", 11, 0, 4),)),
    BtfType(Kind.FLOAT, "double", 8),
    BtfType(Kind.DECL_TAG, "user", 4, extra=0xFFFFFFFF),
    BtfType(Kind.TYPE_TAG, "rcu", 1),
    BtfType(Kind.CONST, "", 1),
]


def test_what_is_written_is_parsed_back() -> None:
    parsed = Btf.parse(written(TYPES))
    assert [parsed[number] for number in range(1, len(parsed))] == TYPES


@pytest.mark.skipif(not KERNEL.exists(), reason="needs a kernel with BTF (CONFIG_DEBUG_INFO_BTF)")
def test_the_kernels_own_table_is_parsed_whole() -> None:
    kernel = Btf.parse(KERNEL.read_bytes())
    names = {(kind, name) for _, kind, name in kernel.heads()}
    assert {(Kind.STRUCT, b"task_struct"), (Kind.INT, b"int"), (Kind.FUNC, b"do_exit")} <= names


def test_an_objects_own_table_is_parsed(compiled: Callable[[str], Path]) -> None:
    btf = object_btf(checked_object(compiled("counters").read_bytes(), "counters"))
    count = next(btf[n] for n in range(1, len(btf)) if btf[n].name == "count")
    assert [(m.name, m.offset) for m in count.members] == [("calls", 0), ("bytes", 64)]


def test_a_table_may_be_empty() -> None:
    empty = Btf.parse(written([]))
    assert (len(empty), list(empty.raw()), list(empty.heads())) == (1, [], [])


def test_modifiers_and_typedefs_lead_to_what_is_meant() -> None:
    parsed = Btf.parse(written(TYPES))
    assert parsed.resolved(8) == (4, TYPES[3])
    assert parsed.resolved(15) == (1, TYPES[0])


def test_a_type_that_refers_to_itself_is_refused() -> None:
    circle = Btf.parse(written([BtfType(Kind.CONST, "", 2), BtfType(Kind.VOLATILE, "", 1)]))
    with pytest.raises(ObjectUnreadable, match="refers to itself"):
        circle.resolved(1)


def test_a_type_that_is_not_there_is_refused() -> None:
    with pytest.raises(ObjectUnreadable, match="no type 99"):
        Btf.parse(written(TYPES))[99]


@pytest.mark.parametrize("size", range(0, len(written(TYPES)), 5))
def test_every_cut_is_refused(size: int) -> None:
    with pytest.raises(ObjectUnreadable, match="BTF"):
        Btf.parse(written(TYPES)[:size])


def test_an_unknown_kind_is_named() -> None:
    data = bytearray(written([BtfType(Kind.INT, "int", 4)]))
    data[24 + 7] = 31
    with pytest.raises(ObjectUnreadable, match="kind 31 is not known"):
        Btf.parse(bytes(data))


@given(some.binary(max_size=200), some.integers(0, 400), some.integers(0, 255))
def test_garbage_is_refused_or_read_but_never_breaks(tail: bytes, at: int, value: int) -> None:
    data = bytearray(written(TYPES) + tail)
    data[at % len(data)] = value
    try:
        parsed = Btf.parse(bytes(data))
        for number in range(len(parsed)):
            parsed.resolved(number)
    except ObjectUnreadable as error:
        assert "BTF" in str(error)  # noqa: PT017 either outcome is right


@pytest.mark.parametrize(
    ("name", "essential"),
    [
        ("task_struct", "task_struct"),
        ("task_struct___old", "task_struct"),
        ("a___b___c", "a___b"),
        ("a____b", "a____b"),
        ("___x", "___x"),
        ("x___", "x___"),
    ],
)
def test_a_flavour_is_not_part_of_a_types_name(name: str, essential: str) -> None:
    assert essential_name(name) == essential
