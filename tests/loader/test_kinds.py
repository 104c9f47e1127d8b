"""What was asked for against what a section says: pure."""

from __future__ import annotations

from pathlib import Path

import pytest

from conductor.bpf.declarations import ProgramDecl
from conductor.errors import InvalidSpec, NotSupported
from conductor.loader.bpffs import map_mode
from conductor.loader.kinds import check_lsm, settled_type
from conductor.loader.verifier_logs import VerifierLogs
from conductor.model.grants import MapType
from conductor.model.kernel import KernelType

KPROBE, SCHED_CLS, TRACEPOINT, XDP, TRACING, LSM = 2, 3, 5, 6, 26, 29


def declared(section: str, type_: int, attach: int = 0) -> ProgramDecl:
    return ProgramDecl(name="f", section=section, type=type_, expected_attach_type=attach)


@pytest.mark.parametrize(
    ("section", "type_", "attach", "asked", "settled"),
    [
        ("xdp", XDP, 37, KernelType.XDP, KernelType.XDP),
        ("xdp.frags", XDP, 37, KernelType.XDP, KernelType.XDP),
        ("tc", SCHED_CLS, 0, KernelType.TC, KernelType.TC),
        ("classifier", SCHED_CLS, 0, KernelType.TCX, KernelType.TCX),
        ("tcx/ingress", 0, 0, KernelType.TCX, KernelType.TCX),
        ("tracepoint/a/b", TRACEPOINT, 0, KernelType.TRACEPOINT, KernelType.TRACEPOINT),
        ("kprobe/f", KPROBE, 0, KernelType.KPROBE, KernelType.KPROBE),
        ("kretprobe/f", KPROBE, 0, KernelType.KPROBE, KernelType.KRETPROBE),
        ("?kretprobe/f", KPROBE, 0, KernelType.KPROBE, KernelType.KRETPROBE),
        ("uprobe", KPROBE, 0, KernelType.UPROBE, KernelType.UPROBE),
        ("uretprobe.s//bin/x:f", KPROBE, 0, KernelType.UPROBE, KernelType.URETPROBE),
        ("fentry/f", TRACING, 24, KernelType.FENTRY, KernelType.FENTRY),
        ("fexit.s/f", TRACING, 25, KernelType.FEXIT, KernelType.FEXIT),
        ("lsm/file_open", LSM, 27, KernelType.LSM, KernelType.LSM),
    ],
)
def test_types_that_agree(section: str, type_: int, attach: int, asked: KernelType, settled: KernelType) -> None:
    assert settled_type(declared(section, type_, attach), asked) is settled


@pytest.mark.parametrize(
    ("section", "type_", "attach", "asked"),
    [
        ("xdp", XDP, 37, KernelType.TC),
        ("kprobe/f", KPROBE, 0, KernelType.UPROBE),
        ("uprobe", KPROBE, 0, KernelType.KPROBE),
        ("kprobe.multi/f*", KPROBE, 42, KernelType.KPROBE),
        ("fentry/f", TRACING, 24, KernelType.FEXIT),
        ("tp_btf/f", TRACING, 23, KernelType.FENTRY),
        ("raw_tp/f", 17, 0, KernelType.TRACEPOINT),
    ],
)
def test_types_that_do_not(section: str, type_: int, attach: int, asked: KernelType) -> None:
    with pytest.raises(InvalidSpec, match="its section"):
        settled_type(declared(section, type_, attach), asked)


def test_lsm_programs_are_refused_where_they_would_never_run(tmp_path: Path) -> None:
    active = tmp_path / "lsm"
    check_lsm(active)
    active.write_text("capability,bpf\n")
    check_lsm(active)
    active.write_text("capability,yama\n")
    with pytest.raises(NotSupported, match="lsm=capability,yama,bpf"):
        check_lsm(active)


def test_the_group_may_write_where_reading_takes_away_or_the_load_says_so() -> None:
    assert map_mode(MapType.HASH, "m", ()) == 0o640
    assert map_mode(MapType.HASH, "m", ("m",)) == 0o660
    assert {map_mode(type_, "m", ()) for type_ in (MapType.RINGBUF, MapType.QUEUE, MapType.STACK)} == {0o660}


def test_verifier_logs_are_bounded_in_number_and_length() -> None:
    logs = VerifierLogs()
    for number in range(40):
        logs.keep(str(number), ("x" * 1000,) * 5000)
    assert logs.of("0") == ()
    kept = logs.of("39")
    assert kept[0] == "[3953 lines before these were left out]"
    assert sum(map(len, kept[1:])) <= 1 << 20
    logs.keep("39", ("short",))
    assert logs.of("39") == ("short",)
