from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from conductor.bpf.btf import layout_digests
from tests.conftest import CLANG, INCLUDES

SOURCE = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct value { __u64 calls; __u32 bytes, more; };
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct value);
} counts SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} jumps SEC(".maps");
"""
Digests = Callable[..., Mapping[str, str]]


@pytest.fixture
def digests(tmp_path: Path) -> Digests:
    """Digests of the source above with one piece of it changed."""

    def of(before: str = "", after: str = "") -> Mapping[str, str]:
        assert before in SOURCE
        source, target = tmp_path / "x.bpf.c", tmp_path / "x.bpf.o"
        source.write_text(SOURCE.replace(before, after) if before else SOURCE)
        subprocess.run([*CLANG, *INCLUDES, "-c", str(source), "-o", str(target)], check=True)
        return layout_digests(target.read_bytes())

    return of


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("TYPE_HASH", "TYPE_LRU_HASH"),
        ("max_entries, 64", "max_entries, 65"),
        ("BPF_F_NO_PREALLOC", "BPF_F_NO_PREALLOC | BPF_F_ZERO_SEED"),
        ("__type(key, __u32);\n\t__type(value, struct", "__type(key, __u64);\n\t__type(value, struct"),
        ("__u64 calls;", "__s64 calls;"),
        ("bytes, more", "more, bytes"),
        ("__u32 bytes, more;", "__u32 bytes, more, most;"),
    ],
)
def test_every_part_of_a_layout_counts(digests: Digests, before: str, after: str) -> None:
    assert digests(before, after)["counts"] != digests()["counts"]


def test_names_of_types_do_not_count(digests: Digests) -> None:
    assert digests("struct value", "struct renamed") == digests()


def test_maps_of_one_load_have_no_digest(digests: Digests) -> None:
    assert digests()["jumps"] == ""
