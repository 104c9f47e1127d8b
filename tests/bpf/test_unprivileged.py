"""What a process without any capability may do with pins: the ground the agent stands on (kernel 5.19)."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from conductor.bpf import links, pins, probes
from conductor.bpf.features import Feature
from conductor.bpf.info import program_by_id, program_info
from conductor.bpf.maps import open_map
from conductor.bpf.objects import BpfObject
from conductor.bpf.stats import run_stats
from conductor.errors import ConductorError, NotSupported
from conductor.model.grants import Access

Load = Callable[..., BpfObject]
pytestmark = pytest.mark.kernel
NOBODY = 65532


def dropped(work: Callable[[], Any]) -> Any:
    """Run `work` in a forked child of uid 65532 without capabilities; answers its JSON or its error's name."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            assert "CapEff:\t0000000000000000" in Path("/proc/self/status").read_text()
            try:
                answer = work()
            except ConductorError as error:
                answer = type(error).__name__
            os.write(writing, json.dumps(answer).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return json.loads(text)


def given(path: Path, mode: int) -> Path:
    os.chown(path, 0, NOBODY)
    path.chmod(mode)
    return path


@pytest.fixture
def by_pid(loaded: Load, bpffs: Path) -> Path:
    """Three entries, pinned 0640 for the child's group."""
    counters = loaded("counters")
    pins.pin(counters.map_fd("by_pid"), bpffs / "by_pid")
    with open_map(bpffs / "by_pid", Access.READ_WRITE) as handle:
        for number in range(3):
            handle.update(struct.pack("<I", number), bytes(16))
    return given(bpffs / "by_pid", 0o640)


def test_a_map_is_read_by_file_permission_alone(by_pid: Path) -> None:
    def work() -> Any:
        with open_map(by_pid, Access.READ) as handle:
            return [
                handle.info.type.value,
                handle.info.stride,
                handle.entries().count,
                handle.lookup(bytes(4)) is not None,
            ]

    assert dropped(work) == ["hash", 16, 3, True]


def test_a_0640_pin_is_not_opened_for_writing(by_pid: Path) -> None:
    assert dropped(lambda: open_map(by_pid, Access.READ_WRITE).close()) == "NotAllowed"


def test_a_0600_pin_is_not_opened_at_all(by_pid: Path) -> None:
    by_pid.chmod(0o600)
    assert dropped(lambda: open_map(by_pid, Access.READ).close()) == "NotAllowed"


def test_a_0660_pin_is_written(by_pid: Path) -> None:
    by_pid.chmod(0o660)

    def work() -> Any:
        with open_map(by_pid, Access.READ_WRITE) as handle:
            handle.update(struct.pack("<I", 9), bytes(16))
            return [handle.delete(bytes(4)), handle.entries().count]

    assert dropped(work) == [True, 3]


def test_a_ring_is_consumed_through_a_0660_pin(loaded: Load, bpffs: Path, stack: ExitStack, kernel_pid: int) -> None:
    made = loaded("events", data={"only_pid": struct.pack("<I", kernel_pid)})
    stack.enter_context(links.tracepoint(made.program_fd("on_enter"), "raw_syscalls/sys_enter"))
    pins.pin(made.map_fd("events"), bpffs / "events")
    given(bpffs / "events", 0o660)
    for _ in range(2):
        os.getppid()

    def work() -> Any:
        with open_map(bpffs / "events", Access.CONSUME) as handle, handle.ring() as ring:
            before = ring.positions()
            ring.commit(before[1])
            return [before, ring.positions()]

    assert dropped(work) == [[0, 48], [48, 48]]
    with open_map(bpffs / "events", Access.CONSUME) as handle, handle.ring() as ring:
        assert ring.positions() == (48, 48)


def test_a_perf_buffer_stays_closed_whatever_its_pin_allows(loaded: Load, bpffs: Path) -> None:
    """An event of a whole CPU takes CAP_PERFMON: EACCES, told with what helps."""
    if int(Path("/proc/sys/kernel/perf_event_paranoid").read_text()) < 1:
        pytest.skip("needs kernel.perf_event_paranoid of 1 or more: this kernel gives perf events to anybody")
    pins.pin(loaded("perf").map_fd("outputs"), bpffs / "outputs")
    given(bpffs / "outputs", 0o660)

    def work() -> Any:
        with open_map(bpffs / "outputs", Access.READ_WRITE) as handle:
            try:
                handle.ring()
            except NotSupported as error:
                return [handle.info.type.value, str(error)]

    kind, said = dropped(work)
    assert kind == "perf_event_array"
    assert said.startswith("reading perf buffer outputs failed: Permission denied (EACCES); ")
    assert "CAP_PERFMON" in said
    assert "ring buffer" in said


def test_root_is_told_of_ring_buffers_too(loaded: Load, bpffs: Path) -> None:
    pins.pin(loaded("perf").map_fd("outputs"), bpffs / "outputs")
    with open_map(bpffs / "outputs", Access.READ_WRITE) as handle, pytest.raises(NotSupported, match="a ring buffer"):
        handle.ring()


def test_ids_and_statistics_stay_closed(loaded: Load) -> None:
    number = program_info(loaded("counters").program_fd("on_enter")).id
    assert dropped(lambda: program_by_id(number).close()) == "KernelRefused"
    assert dropped(lambda: run_stats().close()) == "KernelRefused"


def test_programs_are_not_loaded(compiled: Callable[[str], Path]) -> None:
    data = compiled("counters").read_bytes()

    def work() -> Any:
        with BpfObject.open(data, name="counters") as counters:
            counters.load()

    assert dropped(work) == "KernelRefused"


def test_what_cannot_be_asked_is_unknown_and_not_no() -> None:
    def work() -> Any:
        return [probes.PROBES[feature]().answer.value for feature in (Feature.XDP, Feature.TCX, Feature.RUN_STATS)]

    assert dropped(work) == ["unknown", "unknown", "unknown"]
