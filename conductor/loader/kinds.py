"""bpfman's program types against what an object's sections say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from conductor.bpf.declarations import ProgramDecl
from conductor.bpf.kinds import AttachType, ProgramKind, program_type_name
from conductor.errors import InvalidSpec, NotSupported
from conductor.model.kernel import KernelType

__all__ = ["KernelKind", "check_lsm", "kind_of", "settled_type"]

_ACTIVE_LSMS = Path("/sys/kernel/security/lsm")


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelKind:
    """What the kernel must be told of a program, and how its section begins (empty: it does not matter)."""

    program: ProgramKind
    attach: int = 0
    sections: tuple[str, ...] = ()
    is_attach_fixed: bool = False


_PROBES = ("kprobe", "ksyscall", "kretprobe", "kretsyscall")
_KINDS: Mapping[KernelType, KernelKind] = {
    KernelType.XDP: KernelKind(program=ProgramKind.XDP, attach=AttachType.XDP),
    KernelType.TC: KernelKind(program=ProgramKind.SCHED_CLS),
    KernelType.TCX: KernelKind(program=ProgramKind.SCHED_CLS),
    KernelType.TRACEPOINT: KernelKind(program=ProgramKind.TRACEPOINT),
    KernelType.KPROBE: KernelKind(program=ProgramKind.KPROBE, sections=_PROBES, is_attach_fixed=True),
    KernelType.UPROBE: KernelKind(program=ProgramKind.KPROBE, sections=("uprobe", "uretprobe"), is_attach_fixed=True),
    KernelType.FENTRY: KernelKind(program=ProgramKind.TRACING, attach=AttachType.TRACE_FENTRY, is_attach_fixed=True),
    KernelType.FEXIT: KernelKind(program=ProgramKind.TRACING, attach=AttachType.TRACE_FEXIT, is_attach_fixed=True),
    KernelType.LSM: KernelKind(program=ProgramKind.LSM, attach=AttachType.LSM_MAC, is_attach_fixed=True),
}
_RETURN = {
    "kretprobe": KernelType.KRETPROBE,
    "kretsyscall": KernelType.KRETPROBE,
    "uretprobe": KernelType.URETPROBE,
}


def kind_of(type_: KernelType) -> KernelKind:
    """What a type means to the kernel."""
    return _KINDS[type_]


def settled_type(declared: ProgramDecl, asked: KernelType) -> KernelType:
    """Type of a program by what was asked and by its section: bpfman's API has no numbers for return probes.

    Raises `InvalidSpec` when they do not agree; a section that libbpf does not know agrees with everything.
    """
    word = declared.section.lstrip("?").partition("/")[0].removesuffix(".s").removesuffix(".multi")
    kind = _KINDS[asked]
    unknown = declared.type == 0
    fits = unknown or (
        declared.type == kind.program
        and (not kind.sections or word in kind.sections)
        and (not kind.is_attach_fixed or declared.expected_attach_type == kind.attach)
    )
    if not fits:
        there = program_type_name(declared.type)
        raise InvalidSpec(
            "info.program_type",
            f"{declared.name} cannot be loaded as {asked.value}: its section {declared.section!r} makes it {there}",
        )
    return _RETURN.get(word, asked) if kind.sections else asked


def check_lsm(active: Path = _ACTIVE_LSMS) -> None:
    """Refuse LSM programs where the kernel would take them and never run them. Raises `NotSupported`."""
    try:
        names = active.read_text(encoding="ascii").strip()
    except OSError:
        return  # securityfs is away: nobody knows
    if "bpf" not in names.split(","):
        raise NotSupported(f"this kernel runs no LSM programs: boot it with lsm={names},bpf (kernel 5.7)")
