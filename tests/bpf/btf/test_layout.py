from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from conductor.bpf.btf import Layout, MapLayout, map_layouts
from conductor.bpf.kinds import MapKind
from conductor.bpf.objects import BpfObject
from conductor.errors import ObjectUnreadable


@pytest.fixture(scope="module")
def layouts(compiled: Callable[[str], Path]) -> Mapping[str, MapLayout]:
    return map_layouts(compiled("layouts").read_bytes())


def test_every_declared_map_is_there(layouts: Mapping[str, MapLayout]) -> None:
    assert {name: (m.type, m.key_size, m.value_size, m.max_entries) for name, m in layouts.items()} == {
        "shaped": (MapKind.LRU_HASH, 24, 8, 77),
        "ring": (MapKind.RINGBUF, 0, 0, 4096),
        "sized": (MapKind.STACK_TRACE, 4, 1016, 5),
    }


def test_a_key_is_laid_out_as_c_does(layouts: Mapping[str, MapLayout]) -> None:
    key = layouts["shaped"].key
    assert key is not None
    assert (key.kind, key.name, key.size) == ("struct", "key", 24)
    assert [(f.name, f.offset, f.layout.kind, f.layout.size, f.first_bit, f.bits) for f in key.fields] == [
        ("address", 0, "array", 16, 0, 0),
        ("port", 16, "uint", 2, 0, 0),
        ("bits", 18, "uint", 2, 0, 3),
        ("more", 18, "uint", 2, 3, 5),
        ("kind", 20, "enum", 4, 0, 0),
    ]
    address = key.fields[0].layout
    assert (address.count, address.element) == (16, Layout(kind="uint", size=1, name="unsigned char"))


def test_modifiers_anonymous_members_and_pointers_are_read(layouts: Mapping[str, MapLayout]) -> None:
    value = layouts["shaped"].value
    assert value is not None
    assert value.kind == "union"
    assert [(f.name, f.layout.kind, f.layout.size) for f in value.fields] == [
        ("signed_", "int", 8),
        ("", "struct", 8),
        ("pointer", "pointer", 8),
    ]
    assert [f.name for f in value.fields[1].layout.fields] == ["low", "high"]


def test_maps_declared_by_size_have_no_layout(layouts: Mapping[str, MapLayout]) -> None:
    assert layouts["sized"].key is None
    assert layouts["sized"].value is None


@pytest.mark.kernel
@pytest.mark.parametrize("name", ["counters", "events", "layouts"])
def test_sizes_are_those_of_libbpf(compiled: Callable[[str], Path], name: str) -> None:
    path = compiled(name)
    with BpfObject.open(path) as opened:
        expected = {m.name: (m.kind, m.key_size, m.value_size, m.max_entries) for m in opened.maps if not m.internal}
    found = map_layouts(path.read_bytes())
    assert {n: (m.type, m.key_size, m.value_size, m.max_entries) for n, m in found.items()} == expected


def test_an_object_without_btf_is_refused(compiled: Callable[[str], Path]) -> None:
    data = compiled("layouts").read_bytes().replace(b".BTF\0", b".BTX\0")
    with pytest.raises(ObjectUnreadable, match="has no BTF: compile it with clang -g"):
        map_layouts(data)
