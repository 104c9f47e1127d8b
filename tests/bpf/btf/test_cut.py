from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from conductor.bpf import links
from conductor.bpf.btf import cut_btf, has_relocations
from conductor.bpf.btf.types import Btf, Kind
from conductor.bpf.maps import BpfMap
from conductor.bpf.objects import BpfObject
from conductor.errors import NotSupported, ObjectUnreadable

KERNEL = Path("/sys/kernel/btf/vmlinux")
pytestmark = pytest.mark.kernel
Compiled = Callable[[str], Path]
VALUES = (
    "pid comm comm_size threads runtime daddr family task_size atomic_size sid imagined nowhere pid_exists bit_size"
    " bit_left bit_right comm_third child_prev leader"
)


@pytest.fixture(scope="module")
def core_cut(compiled: Compiled) -> bytes:
    return cut_btf(compiled("core").read_bytes(), KERNEL.read_bytes())


def relocated(source: Path, custom_btf: Path | None, pid: int) -> tuple[dict[str, int], float]:
    """What the program computed from its relocations in process `pid`, ours, and how long the load took."""
    begun = time.perf_counter()
    with ExitStack() as stack:
        core = stack.enter_context(BpfObject.open(source, custom_btf=custom_btf))
        core.set_global("only_pid", struct.pack("<I", pid))
        core.load()
        took = time.perf_counter() - begun
        stack.enter_context(links.tracepoint(core.program_fd("on_enter"), "raw_syscalls/sys_enter"))
        os.getppid()
        bss = stack.enter_context(BpfMap.from_fd(os.dup(core.map_fd("core.bss"))))
        values = struct.unpack_from("<19Q", bss.lookup(bytes(4)) or b"")
    return dict(zip(VALUES.split(), values, strict=True)), took


def test_the_cut_relocates_as_the_whole_does(
    compiled: Compiled, core_cut: bytes, kernel_pid: int, tmp_path: Path
) -> None:
    (tmp_path / "core.btf").write_bytes(core_cut)
    whole, slow = relocated(compiled("core"), None, kernel_pid)
    cut, quick = relocated(compiled("core"), tmp_path / "core.btf", kernel_pid)
    print(f"load with the whole BTF {slow * 1e3:.1f} ms, with {len(core_cut)} bytes {quick * 1e3:.1f} ms")
    assert cut == whole


def test_the_values_are_right(compiled: Compiled, core_cut: bytes, kernel_pid: int, tmp_path: Path) -> None:
    (tmp_path / "core.btf").write_bytes(core_cut)
    values, _ = relocated(compiled("core"), tmp_path / "core.btf", kernel_pid)
    assert values["leader"] == kernel_pid
    assert (values["comm_size"], values["comm_third"] - values["comm"]) == (16, 3)
    assert (values["sid"], values["atomic_size"], values["pid_exists"]) == (3, 4, 3)
    assert (values["imagined"], values["nowhere"]) == (0, 0)
    assert values["task_size"] > values["pid"] > 0


def test_only_what_is_asked_about_is_kept(core_cut: bytes) -> None:
    cut = Btf.parse(core_cut)
    members = {one.name: {m.name for m in one.members} for one in (cut[n] for n in range(len(cut))) if one.members}
    assert members["task_struct"] == {"pid", "tgid", "comm", "group_leader", "children", "se", "sched_reset_on_fork"}
    assert members["signal_struct"] == {"nr_threads"}
    assert len(core_cut) < 4096
    assert not any(cut[n].kind is Kind.FUNC for n in range(len(cut)))


def test_sizes_and_offsets_are_the_kernels(core_cut: bytes) -> None:
    cut, kernel = Btf.parse(core_cut), Btf.parse(KERNEL.read_bytes())
    ids = {name: number for number, kind, name in kernel.heads() if kind is Kind.STRUCT}
    for name in (b"task_struct", b"sock", b"signal_struct"):
        whole = kernel[ids[name]]
        one = next(cut[n] for n in range(len(cut)) if cut[n].name == name.decode())
        assert one.word == whole.word
        assert {(m.name, m.offset) for m in one.members} <= {(m.name, m.offset) for m in whole.members}


@pytest.mark.parametrize("name", ["tasks", "counters", "hooks"])
def test_other_objects_load_with_their_cut(compiled: Compiled, tmp_path: Path, name: str) -> None:
    data = compiled(name).read_bytes()
    (tmp_path / "x.btf").write_bytes(cut_btf(data, KERNEL.read_bytes()))
    with BpfObject.open(data, name=name, custom_btf=tmp_path / "x.btf") as made:
        made.load()
        assert all(made.program_fd(program.name) > 0 for program in made.programs)


def test_an_object_without_relocations_needs_none(compiled: Compiled) -> None:
    assert has_relocations(compiled("core").read_bytes())
    assert not has_relocations(compiled("counters").read_bytes())


def test_a_type_that_a_module_might_have_needs_the_whole(compiled: Compiled) -> None:
    with pytest.raises(NotSupported, match="no_such_struct___ever, which only a module may have"):
        cut_btf(compiled("core").read_bytes(), KERNEL.read_bytes(), modules=True)


def test_ids_of_kernel_types_need_the_whole(compiled: Compiled) -> None:
    with pytest.raises(NotSupported, match="ids of kernel types"):
        cut_btf(compiled("typeid").read_bytes(), KERNEL.read_bytes())


def test_a_kernels_btf_that_is_none_is_refused(compiled: Compiled) -> None:
    with pytest.raises(ObjectUnreadable, match="BTF of the kernel"):
        cut_btf(compiled("core").read_bytes(), b"nothing")
