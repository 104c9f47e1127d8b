"""The tuple of built-ins, their files, and what the objects contain."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

import conductor.builtin
from conductor.bpf.objects import BpfObject
from conductor.builtin import BUILTINS, Builtin, find, object_path
from conductor.builtin.kit import build
from conductor.builtin.service_map import LOSSES, PAIR, TRAFFIC
from conductor.errors import NotFound
from conductor.model.ids import parse_name
from conductor.model.kernel import KernelType, TracepointLink

FOLDER = Path(conductor.builtin.__file__).parent
WITH_KERNEL_HALF = [builtin for builtin in BUILTINS if builtin.kernel_half]
SECTION = re.compile(r'SEC\("([^"]+)"\)\s*int (\w+)\(')


def stem(builtin: type[Builtin]) -> str:
    return builtin.name


def test_each_file_is_a_stem_of_the_tuple() -> None:
    stems = {path.stem for path in FOLDER.glob("*.py")} - {"__init__"}
    assert stems == {builtin.name for builtin in BUILTINS}
    assert {path.name.split(".")[0] for path in FOLDER.glob("*.bpf.*")} == {b.name for b in WITH_KERNEL_HALF}


@pytest.mark.parametrize("builtin", BUILTINS, ids=stem)
def test_a_declaration_is_whole(builtin: type[Builtin]) -> None:
    parse_name(builtin.name)
    assert builtin.description.endswith(".")
    assert "\n" not in builtin.description
    assert find(builtin.name) is builtin
    for metric in builtin.metrics:
        assert metric.name.startswith(builtin.name), "the stem is the prefix"
        assert (metric.kind == "counter") == metric.name.endswith("_total")
    for rule in builtin.config_schema["properties"].values():
        assert {"type", "default", "description"} <= set(rule)


@pytest.mark.parametrize("builtin", WITH_KERNEL_HALF, ids=stem)
def test_functions_are_those_of_the_source_and_the_object(builtin: type[Builtin]) -> None:
    sections = dict(SECTION.findall((FOLDER / f"{builtin.name}.bpf.c").read_text()))
    with BpfObject.open(object_path(builtin.name)) as kernel_object:
        assert {p.section: p.name for p in kernel_object.programs} == sections
        declared = {m.name: m for m in kernel_object.maps}
    for function in builtin.kernel_half:
        assert function.type is KernelType.TRACEPOINT
        (link,) = function.links
        assert isinstance(link, TracepointLink)
        assert sections[f"tracepoint/{link.name}"] == function.name
        assert len(function.name) <= 15, "longer names are cut short by the kernel"
    for need in builtin.needs:
        found = declared[need.name]
        assert (found.type, found.key_size, found.value_size) == (need.type, need.key_size, need.value_size)


def test_the_layouts_of_service_map_are_those_of_its_source() -> None:
    source = (FOLDER / "service_map.bpf.c").read_text()
    fields = re.search(r"struct pair \{(.*?)\};", source, re.DOTALL)
    assert fields is not None
    assert re.findall(r"(\w+)(?:\[16\])?;", fields[1]) == list(PAIR.names or ())
    assert (PAIR.itemsize, TRAFFIC.itemsize) == (40, 32)
    assert [PAIR.fields[name][1] for name in PAIR.names or () if PAIR.fields] == [0, 4, 6, 7, 8, 24]
    losses = re.search(r"enum loss \{ (.*), LOSSES \}", source)
    assert losses is not None
    assert len(losses[1].split(",")) == len(LOSSES)


@pytest.mark.parametrize("source", build.sources(), ids=lambda p: p.name)
def test_a_rebuild_gives_the_shipped_bytes_wherever_it_is_done(source: Path, tmp_path: Path) -> None:
    shipped = source.with_suffix(".o").read_bytes()
    if shutil.which("clang") is None or shutil.which("llvm-strip") is None:
        pytest.skip("needs clang and llvm-strip (Debian packages clang and llvm)")
    version = subprocess.run(["clang", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    if version != build.COMPILER:
        pytest.skip(f"the object was built by {build.COMPILER!r}, here is {version!r}")
    elsewhere = tmp_path / "some" / "where"
    elsewhere.mkdir(parents=True)
    copy = elsewhere / source.name
    copy.write_bytes(source.read_bytes())
    build.build(copy, elsewhere / "made.o")
    assert (elsewhere / "made.o").read_bytes() == shipped, "run: python -m conductor.builtin.kit.build"


@pytest.mark.parametrize("builtin", WITH_KERNEL_HALF, ids=stem)
def test_the_object_has_btf_and_no_paths(builtin: type[Builtin]) -> None:
    data = object_path(builtin.name).read_bytes()
    assert struct.unpack_from("<H", data, 18)[0] == 247, "EM_BPF"
    assert b".BTF.ext" in data
    assert b".debug_info" not in data
    assert str(FOLDER).encode() not in data


def test_an_unknown_stem_is_refused_with_those_that_exist() -> None:
    with pytest.raises(NotFound, match="service_map"):
        find("no_such")


def test_one_without_kernel_half_has_no_object() -> None:
    with pytest.raises(NotFound, match="no kernel half"):
        object_path("host_pressure")


def test_layouts_have_the_byte_order_of_this_machine() -> None:
    assert PAIR["port"].isnative
    assert np.dtype(TRAFFIC["active"]).isnative
