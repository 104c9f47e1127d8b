from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from conductor.bpf.object_file import LARGEST, checked_object, read_object
from conductor.bpf.objects import BpfObject
from conductor.errors import ObjectUnreadable

Compiled = Callable[[str], Path]


@pytest.mark.parametrize(
    ("content", "telling"),
    [
        (b"", "is empty"),
        (b"#!/bin/sh\n", "is no ELF file"),
        (b"\x7fELF", "cut short"),
        (b"\x7fELF\x01\x01" + bytes(100), "no 64-bit"),
        (Path("/proc/self/exe").read_bytes()[:4096], "another machine|outside the file"),
    ],
    ids=["empty", "text", "short", "32-bit", "amd64"],
)
def test_what_is_no_object_is_refused(tmp_path: Path, content: bytes, telling: str) -> None:
    path = tmp_path / "x.bpf.o"
    path.write_bytes(content)
    with pytest.raises(ObjectUnreadable, match=telling):
        BpfObject.open(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ObjectUnreadable, match=r"no\.o cannot be read: No such file"):
        read_object(tmp_path / "no.o")


def test_a_directory_and_a_fifo_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ObjectUnreadable, match="no regular file"):
        read_object(tmp_path / "fifo")
    with pytest.raises(ObjectUnreadable, match="Is a directory"):
        read_object(tmp_path)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.o"
    with path.open("wb") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(ObjectUnreadable, match="may have"):
        read_object(path)


def test_an_object_cut_short_is_refused(compiled: Compiled) -> None:
    data = compiled("counters").read_bytes()
    with pytest.raises(ObjectUnreadable, match="cut short or damaged"):
        checked_object(data[:-200], "cut")


def test_a_section_outside_the_file_is_refused(compiled: Compiled) -> None:
    data = bytearray(compiled("counters").read_bytes())
    (headers,) = struct.unpack_from("<Q", data, 40)
    struct.pack_into("<Q", data, headers + 64 * 3 + 24, 1 << 40)
    with pytest.raises(ObjectUnreadable, match="a section lies outside"):
        checked_object(bytes(data), "bent")


def test_libbpfs_words_are_in_the_refusal(compiled: Compiled) -> None:
    data = bytearray(compiled("counters").read_bytes())
    section = checked_object(bytes(data), "whole").section(".BTF")
    assert section
    data[section.offset] = 0  # BTF magic
    with pytest.raises(ObjectUnreadable, match="BTF"):
        BpfObject.open(bytes(data), name="bent")
