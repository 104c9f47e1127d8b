from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conductor.bpf.info import program_info
from conductor.bpf.kinds import AttachType, ProgramKind
from conductor.bpf.maps import BpfMap
from conductor.bpf.objects import BpfObject
from conductor.errors import InvalidSpec, KernelRefused, NotFound, NotSupported, VerifierRejected
from conductor.model.grants import MapType

Opened = Callable[[str], BpfObject]
MapOf = Callable[[BpfObject, str], BpfMap]
pytestmark = pytest.mark.kernel


def test_an_object_tells_its_programs_maps_and_globals(opened: Opened) -> None:
    counters = opened("counters")
    assert [(p.name, p.section, p.type) for p in counters.programs] == [
        ("on_enter", "tracepoint/raw_syscalls/sys_enter", ProgramKind.TRACEPOINT),
        ("on_exit", "tracepoint/raw_syscalls/sys_exit", ProgramKind.TRACEPOINT),
    ]
    declared = {m.name: (m.type, m.key_size, m.value_size, m.max_entries) for m in counters.maps if not m.internal}
    assert declared == {"by_pid": (MapType.HASH, 4, 16, 4096), "total": (MapType.PERCPU_ARRAY, 4, 8, 1)}
    assert [m.name for m in counters.maps if m.internal] == ["counters.rodata", "counters.bss"]
    assert {(g.name, g.size, g.section) for g in counters.globals} == {
        ("only_pid", 4, ".rodata"),
        ("seen", 8, ".bss"),
    }


def test_bytes_open_like_a_file(compiled: Callable[[str], Path]) -> None:
    with BpfObject.open(compiled("counters").read_bytes(), name="copied") as counters:
        assert counters.name == "copied"
        assert len(counters.programs) == 2


def test_only_selected_programs_reach_the_kernel(opened: Opened) -> None:
    counters = opened("counters")
    counters.select(["on_exit"])
    counters.load()
    assert program_info(counters.program_fd("on_exit")).name == "on_exit"
    with pytest.raises(NotFound, match="on_enter"):
        counters.program_fd("on_enter")


def test_globals_reach_the_kernel(opened: Opened, map_of: MapOf) -> None:
    counters = opened("counters")
    counters.set_global("only_pid", (4_000_000).to_bytes(4, "little"))
    counters.set_global("seen", (77).to_bytes(8, "little"))
    counters.load()
    assert map_of(counters, "counters.rodata").lookup(bytes(4)) == (4_000_000).to_bytes(4, "little")
    assert map_of(counters, "counters.bss").lookup(bytes(4)) == (77).to_bytes(8, "little")


@pytest.mark.parametrize(
    ("name", "value", "telling"),
    [("missing", b"1234", "only_pid, seen"), ("only_pid", b"12", "4 bytes, 2 were given")],
)
def test_a_wrong_global_names_what_is_right(opened: Opened, name: str, value: bytes, telling: str) -> None:
    with pytest.raises(InvalidSpec, match=telling) as caught:
        opened("counters").set_global(name, value)
    assert caught.value.field == f"global_data.{name}"


def test_an_unknown_program_lists_those_that_exist(opened: Opened) -> None:
    with pytest.raises(InvalidSpec, match="on_enter, on_exit"):
        opened("counters").select(["on_entr"])


def test_the_verifiers_whole_log_comes_back(opened: Opened, capfd: pytest.CaptureFixture[str]) -> None:
    rejected = opened("rejected")
    with pytest.raises(VerifierRejected, match="bad: R1 invalid mem access") as caught:
        rejected.load()
    assert caught.value.program == "bad"
    assert any("bpf_get_prandom_u32" in line for line in caught.value.log)
    assert capfd.readouterr() == ("", "")


def test_a_good_program_loads_beside_a_bad_one_that_is_not_selected(opened: Opened) -> None:
    rejected = opened("rejected")
    rejected.select(["good"])
    rejected.load()
    assert rejected.program_fd("good") > 0


def test_programs_of_one_object_share_maps(opened: Opened) -> None:
    counters = opened("counters")
    counters.load()
    enter, leave = (program_info(counters.program_fd(name)) for name in ("on_enter", "on_exit"))
    assert set(enter.map_ids) == set(leave.map_ids)
    assert len(enter.map_ids) == 4


def test_a_map_of_another_object_is_reused(opened: Opened) -> None:
    first, second = opened("counters"), opened("counters")
    first.load()
    second.reuse_map("by_pid", first.map_fd("by_pid"))
    second.load()
    shared = set(program_info(first.program_fd("on_enter")).map_ids)
    assert len(shared & set(program_info(second.program_fd("on_enter")).map_ids)) == 1


def test_a_map_may_be_resized_before_load(opened: Opened, map_of: MapOf) -> None:
    counters = opened("counters")
    counters.resize_map("by_pid", 10)
    counters.load()
    assert map_of(counters, "by_pid").info.max_entries == 10


def test_a_map_that_cannot_be_made_is_named(opened: Opened) -> None:
    counters = opened("counters")
    counters.resize_map("by_pid", 0xFFFF_FFF0)
    with pytest.raises(KernelRefused, match="map by_pid could not be made"):
        counters.load()


def test_a_type_may_be_stated_against_the_section(opened: Opened) -> None:
    hooks = opened("hooks")
    hooks.set_program_type("on_raw", ProgramKind.KPROBE)
    hooks.select(["on_raw"])
    hooks.load()
    assert program_info(hooks.program_fd("on_raw")).type == ProgramKind.KPROBE


def test_an_unknown_attach_target_is_named(opened: Opened) -> None:
    with pytest.raises(NotFound, match="no function or hook no_such_function"):
        opened("fentry").set_attach_target("on_entry", "no_such_function")


def test_fentry_loads_or_the_refusal_says_what_forbids_it(opened: Opened) -> None:
    fentry = opened("fentry")
    for name in ("on_entry", "on_exit"):
        fentry.set_attach_target(name, "do_unlinkat")
    refusal = ""
    try:
        fentry.load()
        assert program_info(fentry.program_fd("on_entry")).type == ProgramKind.TRACING
    except NotSupported as error:
        refusal = str(error)
    assert not refusal or ("on_entry" in refusal and "policy forbids this type of program" in refusal)


def test_an_expected_attach_type_is_told(opened: Opened) -> None:
    types = {p.name: p.expected_attach_type for p in opened("hooks").programs}
    assert types["on_xdp"] == AttachType.XDP
    assert types["on_btf"] == AttachType.TRACE_RAW_TP


def test_nothing_is_left_after_close(compiled: Callable[[str], Path]) -> None:
    before = set(Path("/proc/self/fd").iterdir())
    with BpfObject.open(compiled("counters")) as counters:
        counters.load()
    assert set(Path("/proc/self/fd").iterdir()) == before
    with pytest.raises(ValueError, match="closed"):
        counters.load()
    counters.close()


def test_a_forgotten_object_warns(compiled: Callable[[str], Path]) -> None:
    forgotten = BpfObject.open(compiled("counters"))
    handle = forgotten._handle
    with pytest.warns(ResourceWarning, match="never closed"):
        del forgotten
    assert handle


@pytest.mark.parametrize("content", [b"", b"no BTF at all" * 10])
def test_a_btf_that_is_none_is_said(compiled: Callable[[str], Path], tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.btf").write_bytes(content)
    with (
        BpfObject.open(compiled("core"), custom_btf=tmp_path / "bad.btf") as core,
        pytest.raises(NotSupported, match="CO-RE needs this kernel's BTF"),
    ):
        core.load()


def test_two_threads_that_fail_at_once_each_get_their_own_log(compiled: Callable[[str], Path]) -> None:
    data = compiled("rejected").read_bytes()
    start = threading.Barrier(4)

    def fail(number: int) -> tuple[str, int]:
        with BpfObject.open(data, name=f"number{number}") as rejected:
            start.wait(timeout=20)
            with pytest.raises(VerifierRejected) as caught:
                rejected.load()
        log = caught.value.log
        return caught.value.program, sum("bpf_get_prandom_u32#7" in line for line in log)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(fail, range(4))) == [("bad", 1)] * 4
