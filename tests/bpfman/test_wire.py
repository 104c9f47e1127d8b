"""Round trips and golden bytes of bpfman's messages."""

from __future__ import annotations

import pytest

from conductor.bpfman.wire import (
    load_from_wire,
    load_to_wire,
    loaded_from_wire,
    loaded_to_wire,
    runs_from_wire,
    type_from_wire,
    type_to_wire,
)
from conductor.errors import InvalidSpec, KernelRefused
from conductor.model.ids import LinkId, ProgramId
from conductor.model.kernel import KernelFunctionSpec, KernelType
from conductor.ports import KernelLoad, KernelLoaded
from conductor.proto.bpfman.v1 import (
    BytecodeImage,
    BytecodeLocation,
    KernelProgramInfo,
    ListRequest,
    LoadRequest,
    ProgramInfo,
)
from conductor.proto.conductor.loader.v1 import ProgramRun, ProgramsResponse

LOAD = KernelLoad(
    path="/x.o",
    programs=(KernelFunctionSpec(name="count_syscalls", type=KernelType.TRACEPOINT),),
    metadata={"owner": "exp"},
)


def test_load_is_printed_as_the_go_daemon_was_seen_to_read_it() -> None:
    golden = "0a061a042f782e6f2a0c0a056f776e657212036578704a120a0e636f756e745f73797363616c6c731002"
    assert bytes(load_to_wire(LOAD)).hex() == golden


def test_list_is_printed_as_the_go_daemon_was_seen_to_read_it() -> None:
    message = ListRequest(bpfman_programs_only=True, match_metadata={"owner": "exp"})
    assert bytes(message).hex() == "10011a0c0a056f776e65721203657870"


@pytest.mark.parametrize("type_", list(KernelType))
def test_load_of_every_type_comes_back_from_its_bytes(type_: KernelType) -> None:
    fixed_at_load = type_ in (KernelType.FENTRY, KernelType.FEXIT, KernelType.LSM)
    load = KernelLoad(
        path="/var/lib/x.o",
        programs=(KernelFunctionSpec(name="f", type=type_, attach_to="do_unlinkat" if fixed_at_load else ""),),
        global_data={"rate": b"\x00\x01"},
        map_owner=ProgramId(7),
        metadata={"k": "v"},
    )
    assert load_from_wire(LoadRequest().parse(bytes(load_to_wire(load)))) == load


def test_load_of_an_image_is_none_of_ours() -> None:
    message = LoadRequest(bytecode=BytecodeLocation(image=BytecodeImage(url="r/x:1")))
    with pytest.raises(InvalidSpec, match="names a file"):
        load_from_wire(message)


def test_return_probe_is_told_apart_by_metadata_only() -> None:
    assert type_to_wire(KernelType.KRETPROBE) == type_to_wire(KernelType.KPROBE)
    assert type_from_wire(3, "f", {"bpfman.io/actual-type:f": "kretprobe"}) is KernelType.KRETPROBE
    assert type_from_wire(3, "g", {"bpfman.io/actual-type:f": "kretprobe"}) is KernelType.KPROBE


def test_unknown_program_type_is_an_error() -> None:
    with pytest.raises(InvalidSpec, match="26"):
        type_from_wire(26)


def test_loaded_program_comes_back_from_its_bytes() -> None:
    loaded = KernelLoaded(
        id=ProgramId(41),
        name="on_return",
        type=KernelType.URETPROBE,
        tag="0011aabb0011aabb",
        map_ids=(3, 5),
        map_pin_path="/run/x/maps/41",
        links=(LinkId(9),),
        metadata={"ebpfconductor.io/app": "a"},
    )
    info, kernel = loaded_to_wire(loaded)
    parsed = (ProgramInfo().parse(bytes(info)), KernelProgramInfo().parse(bytes(kernel)))
    assert loaded_from_wire(*parsed, bpfman_numbers=True) == loaded


def test_type_is_unknown_where_the_daemon_counts_as_the_kernel_does() -> None:
    loaded = loaded_from_wire(ProgramInfo(name="f"), KernelProgramInfo(id=1, program_type=26), bpfman_numbers=False)
    assert loaded.type is None


def test_program_without_an_id_is_refused() -> None:
    with pytest.raises(KernelRefused, match="without an id"):
        loaded_from_wire(ProgramInfo(), KernelProgramInfo(), bpfman_numbers=False)


def test_run_times_are_seconds() -> None:
    message = ProgramsResponse(enabled=True, programs=[ProgramRun(id=4, run_time_ns=1_500_000_000, run_count=3)])
    assert runs_from_wire(message) == {ProgramId(4): (1.5, 3)}


def test_run_times_that_are_not_kept_are_unknown() -> None:
    assert runs_from_wire(ProgramsResponse(enabled=False)) is None
