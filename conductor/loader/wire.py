"""bpfman's messages to our words and back; generated messages stay in here.

`KernelProgramInfo.program_type` and the filter of `List` carry bpfman's own numbers (XDP 0 … LSM 8), as the Go daemon
does, not the kernel's: clients must tell a program's kind by its name and metadata. An unknown number is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import betterproto

from conductor.errors import InvalidSpec, NotYet
from conductor.loader.hooks import (
    Hook,
    KprobeHook,
    TcHook,
    TcxHook,
    TracepointHook,
    TracingHook,
    UprobeHook,
    XdpHook,
)
from conductor.loader.records import KernelFacts, LinkRecord, LoadRecord, ProgramRecord
from conductor.model.ids import ProgramId
from conductor.model.kernel import Direction, KernelFunctionSpec, KernelType
from conductor.ports import KernelLoad
from conductor.proto.bpfman import v1 as pb

__all__ = [
    "entry_to_wire",
    "filter_from_wire",
    "hook_from_wire",
    "info_to_wire",
    "kernel_to_wire",
    "list_to_wire",
    "load_from_wire",
    "rfc3339",
]

_TYPES = {
    0: KernelType.XDP,
    1: KernelType.TC,
    2: KernelType.TRACEPOINT,
    3: KernelType.KPROBE,
    4: KernelType.UPROBE,
    5: KernelType.FENTRY,
    6: KernelType.FEXIT,
    7: KernelType.TCX,
    8: KernelType.LSM,
}
_NUMBERS = {type_: number for number, type_ in _TYPES.items()} | {KernelType.KRETPROBE: 3, KernelType.URETPROBE: 4}
_PROGRAMS_MOST = 64
_METADATA_MOST = 65_536
_PATH_MOST = 4_095
_TRACEPOINT = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.:-]+")
_XDP_ACTIONS = frozenset({0, 1, 2, 3, 4, 31})
_TC_ACTIONS = frozenset({-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 30})
_TC_DEFAULT = frozenset({3, 30})


def load_from_wire(request: pb.LoadRequest) -> KernelLoad:
    """Parse a Load. Raises `InvalidSpec`, and `NotYet` for images."""
    if not 0 < len(request.info) <= _PROGRAMS_MOST:
        raise InvalidSpec("info", f"a Load names 1 to {_PROGRAMS_MOST} programs, this one {len(request.info)}")
    programs = tuple(_function_from_wire(info, f"info[{at}]") for at, info in enumerate(request.info))
    names = [program.name for program in programs]
    for at, name in enumerate(names):
        if name in names[:at]:
            raise InvalidSpec(f"info[{at}].name", f"{name} is named twice")
    if sum(len(key) + len(value) for key, value in request.metadata.items()) > _METADATA_MOST:
        raise InvalidSpec("metadata", f"more than {_METADATA_MOST} characters")
    return KernelLoad(
        path=_file_from_wire(request.bytecode),
        programs=programs,
        global_data=dict(request.global_data),
        map_owner=None if request.map_owner_id is None else ProgramId(request.map_owner_id),
        metadata=dict(request.metadata),
    )


def filter_from_wire(request: pb.ListRequest) -> Callable[[LoadRecord, ProgramRecord], bool]:
    """Parse a List: the type by bpfman's numbers, and metadata that must all be there. Raises `InvalidSpec`."""
    wanted, match = request.program_type, dict(request.match_metadata)
    if wanted is not None and wanted not in _TYPES:
        raise InvalidSpec("program_type", f"{wanted} is unknown; bpfman's types are 0 (XDP) to 8 (LSM)")

    def matches(load: LoadRecord, program: ProgramRecord) -> bool:
        return (wanted is None or _NUMBERS[program.type] == wanted) and match.items() <= load.metadata.items()

    return matches


def hook_from_wire(request: pb.AttachRequest) -> Hook:
    """Parse where to attach. Raises `InvalidSpec`."""
    kind, info = betterproto.which_one_of(request.attach, "info")
    if info is None:
        raise InvalidSpec("attach", "says nothing of where to attach: set one of its fields")
    return _HOOKS[kind](info, f"attach.{kind}")


def info_to_wire(
    load: LoadRecord,
    program: ProgramRecord,
    *,
    links: Sequence[LinkRecord],
    map_pins: Path,
    used_by: Sequence[ProgramId],
) -> pb.ProgramInfo:
    """Print what we keep of a program."""
    return pb.ProgramInfo(
        name=program.name,
        bytecode=pb.BytecodeLocation(file=load.path),
        links=[link.id for link in links],
        global_data=dict(load.global_data),
        map_owner_id=load.map_owner,
        map_pin_path=str(map_pins),
        map_used_by=[str(id_) for id_ in used_by],
        metadata=dict(load.metadata),
    )


def kernel_to_wire(program: ProgramRecord) -> pb.KernelProgramInfo:
    """Print what the kernel said of a program."""
    kernel: KernelFacts = program.kernel
    return pb.KernelProgramInfo(
        id=program.id,
        name=kernel.name,
        program_type=_NUMBERS[program.type],
        loaded_at=kernel.loaded_at,
        tag=kernel.tag,
        gpl_compatible=kernel.gpl_compatible,
        map_ids=list(kernel.map_ids),
        btf_id=kernel.btf_id,
        bytes_xlated=kernel.bytes_xlated,
        jited=kernel.jited,
        bytes_jited=kernel.bytes_jited,
        bytes_memlock=kernel.bytes_memlock,
        verified_insns=kernel.verified_insns,
    )


def entry_to_wire(result: pb.ListResult) -> bytes:
    """Print one entry of a list, to be kept: printing is what a List costs."""
    return bytes(result)


def list_to_wire(entries: Sequence[bytes]) -> pb.ListResponse:
    """Put printed entries into a list: to the printer of a message a part is whatever `bytes()` takes."""
    return pb.ListResponse(results=cast("list[pb.ListResult]", list(entries)))


def rfc3339(seconds: float) -> str:
    """Print a moment as the Go daemon does: UTC, whole seconds."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _file_from_wire(bytecode: pb.BytecodeLocation) -> str:
    kind, location = betterproto.which_one_of(bytecode, "location")
    if kind == "image":
        raise NotYet("images come with the Image Manager; load from a file")
    if not location:
        raise InvalidSpec("bytecode", "says nothing of where the object is: set file")
    path = _text(location, "bytecode.file", most=_PATH_MOST)
    if not path.startswith("/"):
        raise InvalidSpec("bytecode.file", f"{path[:80]!r} is no absolute path")
    return path


def _function_from_wire(info: pb.LoadInfo, where: str) -> KernelFunctionSpec:
    type_ = _TYPES.get(int(info.program_type))
    if type_ is None:
        raise InvalidSpec(
            f"{where}.program_type", f"{int(info.program_type)} is unknown; bpfman's are 0 (XDP) to 8 (LSM)"
        )
    return KernelFunctionSpec(
        name=_text(info.name, f"{where}.name"),
        type=type_,
        attach_to=_target_from_wire(info.info, type_, f"{where}.info"),
    )


def _target_from_wire(specific: pb.ProgSpecificInfo | None, type_: KernelType, where: str) -> str:
    """Read the function or hook that fentry, fexit and LSM fix at load; empty leaves it to the section."""
    kind, info = betterproto.which_one_of(specific, "info") if specific is not None else ("", None)
    if info is None:
        return ""
    if kind != f"{type_.value.lower()}_load_info":
        raise InvalidSpec(where, f"{kind} does not belong to a program of type {type_.value}")
    field = "hook_name" if type_ is KernelType.LSM else "fn_name"
    return _text(getattr(info, field), f"{where}.{kind}.{field}")


def _xdp(info: pb.XdpAttachInfo, where: str) -> Hook:
    # Alone on its interface, a program has nobody to proceed to: its actions are checked and change nothing.
    _actions(info.proceed_on, _XDP_ACTIONS, where)
    return XdpHook(**_network(info, where))


def _tc(info: pb.TcAttachInfo, where: str) -> Hook:
    _actions(info.proceed_on, _TC_ACTIONS, where)
    if {*info.proceed_on} - _TC_DEFAULT:
        raise InvalidSpec(
            f"{where}.proceed_on",
            "this loader attaches TC programs through TCX, where a program's own return code (-1: next) decides who"
            " runs after it; leave it empty",
        )
    return TcHook(direction=_direction(info.direction, where), **_network(info, where))


def _tcx(info: pb.TcxAttachInfo, where: str) -> Hook:
    return TcxHook(direction=_direction(info.direction, where), **_network(info, where))


def _tracepoint(info: pb.TracepointAttachInfo, where: str) -> Hook:
    if not _TRACEPOINT.fullmatch(info.tracepoint) or ".." in info.tracepoint:
        raise InvalidSpec(f"{where}.tracepoint", f"{info.tracepoint[:80]!r} is not of the form group/name")
    return TracepointHook(name=info.tracepoint)


def _kprobe(info: pb.KprobeAttachInfo, where: str) -> Hook:
    return KprobeHook(function=_text(info.fn_name, f"{where}.fn_name"), offset=info.offset)


def _uprobe(info: pb.UprobeAttachInfo, where: str) -> Hook:
    for field, pid in (("pid", info.pid), ("container_pid", info.container_pid)):
        if pid is not None and pid <= 0:
            raise InvalidSpec(f"{where}.{field}", f"{pid} is no process id")
    if not info.fn_name and not info.offset:
        raise InvalidSpec(where, "needs fn_name, or an offset into the file")
    return UprobeHook(
        target=_text(info.target, f"{where}.target", most=_PATH_MOST),
        function=_text(info.fn_name, f"{where}.fn_name", most=4096) if info.fn_name else "",
        offset=info.offset,
        pid=info.pid,
        container_pid=info.container_pid,
    )


def _network(info: Any, where: str) -> Mapping[str, Any]:
    if info.priority < 0:
        raise InvalidSpec(f"{where}.priority", f"{info.priority} is negative; 0 runs first")
    return {
        "interface": _text(info.iface, f"{where}.iface", most=15),
        "netns": _text(info.netns, f"{where}.netns", most=_PATH_MOST) if info.netns else "",
        "priority": info.priority,
    }


def _direction(raw: str, where: str) -> Direction:
    if raw not in {direction.value for direction in Direction}:
        raise InvalidSpec(f"{where}.direction", f"{raw[:80]!r} is neither ingress nor egress")
    return Direction(raw)


def _actions(given: Sequence[int], known: frozenset[int], where: str) -> None:
    for action in given:
        if action not in known:
            raise InvalidSpec(f"{where}.proceed_on", f"{action} is no action; known are {sorted(known)}")


def _text(raw: str, where: str, *, most: int = 255) -> str:
    """Check a name or path for the kernel: not empty, not long, no NUL."""
    if not raw:
        raise InvalidSpec(where, "empty")
    if len(raw.encode()) > most or "\0" in raw:
        raise InvalidSpec(where, f"holds a NUL or more than {most} bytes")
    return raw


_HOOKS: Mapping[str, Callable[[Any, str], Hook]] = {
    "xdp_attach_info": _xdp,
    "tc_attach_info": _tc,
    "tcx_attach_info": _tcx,
    "tracepoint_attach_info": _tracepoint,
    "kprobe_attach_info": _kprobe,
    "uprobe_attach_info": _uprobe,
    "fentry_attach_info": lambda _info, _where: TracingHook(kind="fentry"),
    "fexit_attach_info": lambda _info, _where: TracingHook(kind="fexit"),
    "lsm_attach_info": lambda _info, _where: TracingHook(kind="lsm"),
}
