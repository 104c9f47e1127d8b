from __future__ import annotations

import ctypes
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conductor.bpf import links, perf, pins
from conductor.bpf.binaries import resolve_binary, symbol_offset
from conductor.bpf.info import link_info, program_info
from conductor.bpf.kinds import AttachType
from conductor.bpf.maps import BpfMap
from conductor.bpf.objects import BpfObject
from conductor.errors import AlreadyExists, ConductorError, InvalidSpec, KernelRefused, NotFound, NotSupported

MapOf = Callable[[BpfObject, str], BpfMap]
Load = Callable[..., BpfObject]
pytestmark = pytest.mark.kernel
Runs = Callable[[BpfObject, str], int]
LIBC = ctypes.CDLL(None)


def test_a_tracepoint_runs_its_program(loaded: Load, map_of: MapOf, kernel_pid: int) -> None:
    counters = loaded("counters", data={"only_pid": struct.pack("<I", kernel_pid)})
    with links.tracepoint(counters.program_fd("on_enter"), "raw_syscalls/sys_enter") as link:
        info = link_info(link.fileno())
        assert (info.type, info.prog_id) == ("perf_event", program_info(counters.program_fd("on_enter")).id)
        assert info.detail in ({"kind": "tracepoint", "name": "sys_enter"}, {"kind": "unknown"})
        os.getppid()
    assert map_of(counters, "by_pid").entries().count == 1


def test_the_same_tracepoint_twice_is_said(loaded: Load) -> None:
    fd = loaded("counters").program_fd("on_enter")
    with (
        links.tracepoint(fd, "raw_syscalls/sys_enter"),
        pytest.raises(AlreadyExists, match="attached there already"),
    ):
        links.tracepoint(fd, "raw_syscalls/sys_enter")


@pytest.mark.parametrize(
    ("name", "telling"),
    [
        ("raw_syscalls/sys_entr", "near: raw_syscalls/sys_enter"),
        ("raw_syscals/sys_enter", "near: raw_syscalls/sys_enter"),
        ("sys_enter", "write group/name"),
        ("../events/x", "write group/name"),
        ("a/..", "write group/name"),
        ("", "write group/name"),
    ],
)
def test_an_unknown_tracepoint_has_near_names(loaded: Load, name: str, telling: str) -> None:
    with pytest.raises(NotFound, match=telling):
        links.tracepoint(loaded("counters").program_fd("on_enter"), name)


def test_a_program_of_another_type_does_not_fit(loaded: Load) -> None:
    with pytest.raises(NotSupported, match="type does not fit this hook"):
        links.tracepoint(loaded("hooks", "on_xdp").program_fd("on_xdp"), "raw_syscalls/sys_enter")


def test_a_raw_tracepoint_runs_its_program(loaded: Load, runs: Runs) -> None:
    hooks = loaded("hooks", "on_raw")
    with links.raw_tracepoint(hooks.program_fd("on_raw"), "sys_enter") as link:
        os.getppid()
        info = link_info(link.fileno())
    assert (info.type, info.detail) == ("raw_tracepoint", {"name": "sys_enter"})
    assert runs(hooks, "raw") > 0


def test_an_unknown_raw_tracepoint_has_near_names(loaded: Load) -> None:
    with pytest.raises(NotFound, match=r"no tracepoint sched_swich.*sched_switch"):
        links.raw_tracepoint(loaded("hooks", "on_raw").program_fd("on_raw"), "sched_swich")


def test_a_btf_tracepoint_runs_its_program(loaded: Load, runs: Runs) -> None:
    hooks = loaded("hooks", "on_btf")
    with links.btf_tracepoint(hooks.program_fd("on_btf")) as link:
        os.getppid()
        assert link_info(link.fileno()).type in ("tracing", "raw_tracepoint")
    assert runs(hooks, "btf") > 0


def test_a_program_that_traces_nothing_is_refused(loaded: Load) -> None:
    with pytest.raises(ConductorError, match="tracing program failed"):
        links.tracing(loaded("hooks", "on_xdp").program_fd("on_xdp"))


def test_kprobes_work_or_are_named_as_missing(loaded: Load) -> None:
    hooks = loaded("hooks", "on_kprobe")
    if perf.pmu_type("kprobe") is None:
        with pytest.raises(NotSupported, match="CONFIG_KPROBE_EVENTS"):
            links.kprobe(hooks.program_fd("on_kprobe"), "do_unlinkat")
    else:
        with links.kprobe(hooks.program_fd("on_kprobe"), "do_unlinkat") as link:
            assert link_info(link.fileno()).type == "perf_event"


@pytest.mark.parametrize(
    ("program", "hook", "retprobe"), [("on_uprobe", "uprobe", False), ("on_uretprobe", "uretprobe", True)]
)
def test_a_library_function_by_name(loaded: Load, runs: Runs, program: str, hook: str, retprobe: bool) -> None:
    hooks = loaded("hooks", program)
    fd = hooks.program_fd(program)
    with links.uprobe(fd, "libc", symbol="random", pid=os.getpid(), retprobe=retprobe):
        for _ in range(5):
            LIBC.random()
    LIBC.random()
    assert runs(hooks, hook) == 5


def test_a_uprobe_of_every_process_by_file_offset(loaded: Load, runs: Runs) -> None:
    hooks = loaded("hooks", "on_uprobe")
    path = resolve_binary("libc.so.6")
    with links.uprobe(hooks.program_fd("on_uprobe"), path, offset=symbol_offset(path, "random")):
        LIBC.random()
    assert runs(hooks, "uprobe") >= 1


@pytest.mark.parametrize(
    ("binary", "symbol", "error", "telling"),
    [
        ("libc", "no_such_function", NotFound, "has no function no_such_function"),
        ("libc", "getpidd", NotFound, "near: getpid"),
        ("no-such-library", "x", NotFound, "give its path"),
        ("/nowhere/at/all", "x", NotFound, "there is no file"),
        ("/etc/passwd", "x", ConductorError, "no ELF file"),
    ],
)
def test_a_wrong_uprobe_says_what_is_missing(
    loaded: Load, binary: str, symbol: str, error: type[ConductorError], telling: str
) -> None:
    with pytest.raises(error, match=telling):
        links.uprobe(loaded("hooks", "on_uprobe").program_fd("on_uprobe"), binary, symbol=symbol)


def test_a_process_that_is_not_there_is_said(loaded: Load) -> None:
    with pytest.raises(NotFound, match="no process 4194304"):
        links.uprobe(loaded("hooks", "on_uprobe").program_fd("on_uprobe"), "libc", symbol="random", pid=4_194_304)


def test_sampling_runs_its_program(loaded: Load, runs: Runs) -> None:
    hooks = loaded("hooks", "on_perf")
    software, cpu_clock = 1, 0
    with links.perf_event(hooks.program_fd("on_perf"), type_=software, config=cpu_clock, pid=0, frequency=1000):
        until = time.monotonic() + 5
        while runs(hooks, "perf") == 0:
            assert time.monotonic() < until
    assert runs(hooks, "perf") > 0


def test_an_iterator_is_read_and_pinned(loaded: Load, bpffs: Path, kernel_pid: int) -> None:
    tasks = loaded("tasks")
    with links.iterator(tasks.program_fd("each_task")) as link:
        pins.pin(link.fileno(), bpffs / "tasks")
        assert link_info(link.fileno()).type == "iter"
        assert link_info(link.fileno()).detail == {"name": "task"}
        with links.read_iterator(link.fileno()) as reading, os.fdopen(reading.detach()) as text:
            assert str(kernel_pid) in text.read().split()
    assert str(kernel_pid) in (bpffs / "tasks").read_text().split()


def test_only_iterators_are_iterators(loaded: Load) -> None:
    with pytest.raises(NotSupported, match="the program is no iterator"):
        links.iterator(loaded("hooks", "on_xdp").program_fd("on_xdp"))


def test_a_link_may_be_ended_under_its_holder(loaded: Load, netns: Callable[[], str]) -> None:
    hooks = loaded("hooks", "on_lookup")
    with (
        Path(f"/run/netns/{netns()}").open() as namespace,
        links.netns(hooks.program_fd("on_lookup"), namespace.fileno(), AttachType.SK_LOOKUP) as link,
    ):
        assert link_info(link.fileno()).type == "netns"
        links.detach_link(link.fileno())
        assert link_info(link.fileno()).detail["netns"] == 0


def test_a_perf_link_cannot_be_ended_under_its_holder(loaded: Load) -> None:
    with (
        links.tracepoint(loaded("counters").program_fd("on_enter"), "raw_syscalls/sys_enter") as link,
        pytest.raises((NotSupported, KernelRefused), match="remove its pins"),
    ):
        links.detach_link(link.fileno())


def test_failures_leave_no_descriptor(loaded: Load) -> None:
    hooks = loaded("hooks", "on_xdp", "on_uprobe")
    before = set(Path("/proc/self/fd").iterdir())
    for attach in (
        lambda fd: links.tracepoint(fd, "raw_syscalls/sys_enter"),
        lambda fd: links.tracepoint(fd, "no/such"),
        lambda fd: links.uprobe(fd, "libc", symbol="random", pid=4_194_304),
        lambda fd: links.raw_tracepoint(fd, "no_such"),
        links.iterator,
        lambda fd: links.perf_event(fd, type_=999, config=0),
    ):
        with pytest.raises(ConductorError):
            attach(hooks.program_fd("on_xdp"))
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_names_that_c_would_cut_short_are_refused(loaded: Load) -> None:
    hooks = loaded("hooks", "on_raw", "on_uprobe")
    with pytest.raises(InvalidSpec, match="zero byte"):
        links.raw_tracepoint(hooks.program_fd("on_raw"), "sys_enter\0x")
    with pytest.raises(ConductorError):
        links.tracepoint(hooks.program_fd("on_raw"), "raw_syscalls/sys_enter\0x")
    with pytest.raises(InvalidSpec, match="target"):
        links.uprobe(hooks.program_fd("on_uprobe"), "/bin/true\0x", offset=1)
