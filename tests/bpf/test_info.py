from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from conductor.bpf import info, links
from conductor.bpf.objects import BpfObject
from conductor.bpf.stats import run_stats
from conductor.errors import ConductorError, NotFound
from conductor.model.grants import MapType

Load = Callable[..., BpfObject]
pytestmark = pytest.mark.kernel


def bpftool(*arguments: str) -> Any:
    if shutil.which("bpftool") is None:
        pytest.skip("needs bpftool to compare with (Debian package bpftool)")
    done = subprocess.run(["bpftool", "-j", *arguments], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_a_program_is_described_as_bpftool_does(loaded: Load) -> None:
    counters = loaded("counters")
    seen = info.program_info(counters.program_fd("on_enter"))
    told = bpftool("prog", "show", "id", str(seen.id))
    assert (seen.name, seen.tag, list(seen.map_ids)) == (told["name"], told["tag"], told["map_ids"])
    assert (seen.gpl_compatible, seen.xlated_len, seen.jited, seen.jited_len, seen.memlock, seen.btf_id) == (
        (
            told["gpl_compatible"],
            told["bytes_xlated"],
            told["jited"],
            told["bytes_jited"],
            told["bytes_memlock"],
            told["btf_id"],
        )
    )
    assert seen.verified_insns > 0
    assert 0 <= time.clock_gettime_ns(time.CLOCK_BOOTTIME) - seen.loaded_at_ns < 60e9


def test_a_map_is_described_as_bpftool_does(loaded: Load) -> None:
    seen = info.map_info(loaded("counters").map_fd("total"))
    told = bpftool("map", "show", "id", str(seen.id))
    assert (seen.name, seen.type, seen.key_size, seen.value_size, seen.max_entries) == (
        ("total", MapType.PERCPU_ARRAY, told["bytes_key"], told["bytes_value"], told["max_entries"])
    )
    assert seen.cpus == info.possible_cpus()


def test_objects_are_reached_by_id(loaded: Load, stack: ExitStack) -> None:
    counters = loaded("counters")
    program = info.program_info(counters.program_fd("on_enter"))
    link = stack.enter_context(links.tracepoint(counters.program_fd("on_enter"), "raw_syscalls/sys_enter"))
    number = info.link_info(link.fileno()).id
    with (
        info.program_by_id(program.id) as one,
        info.map_by_id(program.map_ids[0]) as two,
        info.link_by_id(number) as three,
    ):
        assert info.program_info(one.fileno()).id == program.id
        assert info.map_info(two.fileno()).id == program.map_ids[0]
        assert info.link_info(three.fileno()).prog_id == program.id
    assert program.id in set(info.program_ids())
    assert program.map_ids[0] in set(info.map_ids())
    assert number in set(info.link_ids())


def test_an_id_of_nothing_is_not_found() -> None:
    with pytest.raises(NotFound, match="program 4294967294"):
        info.program_by_id(0xFFFF_FFFE)


def test_run_time_is_counted_while_the_handle_is_held(loaded: Load, stack: ExitStack, kernel_pid: int) -> None:
    counters = loaded("counters", data={"only_pid": struct.pack("<I", kernel_pid)})
    fd = counters.program_fd("on_enter")
    stack.enter_context(links.tracepoint(fd, "raw_syscalls/sys_enter"))
    with run_stats():
        for _ in range(100):
            os.getppid()
        seen = info.program_info(fd)
    assert seen.run_cnt >= 100
    assert seen.run_time_ns > 0


def test_what_is_no_bpf_object_is_refused() -> None:
    fd = os.open("/dev/null", os.O_RDONLY)
    try:
        for ask in (info.program_info, info.map_info, info.link_info):
            with pytest.raises(ConductorError, match="asking the kernel"):
                ask(fd)
    finally:
        os.close(fd)
