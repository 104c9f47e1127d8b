"""bpfman's messages in our words and back: total, an unknown value is an error.

`…_to_wire` prints what we send, `…_from_wire` parses what a daemon answers. Links are in `wire_links.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

import betterproto

from conductor.errors import InvalidSpec, KernelRefused
from conductor.model.ids import LinkId, ProgramId
from conductor.model.kernel import KernelFunctionSpec, KernelType
from conductor.ports import KernelLoad, KernelLoaded
from conductor.proto.bpfman.v1 import (
    BpfmanProgramType,
    BytecodeLocation,
    FentryLoadInfo,
    FexitLoadInfo,
    KernelProgramInfo,
    LoadInfo,
    LoadRequest,
    LoadResponse,
    LsmLoadInfo,
    ProgramInfo,
    ProgSpecificInfo,
)
from conductor.proto.conductor.loader.v1 import ProgramsResponse

__all__ = [
    "ACTUAL_TYPE",
    "load_from_wire",
    "load_response_from_wire",
    "load_to_wire",
    "loaded_from_wire",
    "loaded_to_wire",
    "runs_from_wire",
    "type_from_wire",
    "type_to_wire",
    "unmanaged_from_wire",
]

ACTUAL_TYPE = "bpfman.io/actual-type:"
"""Metadata key, followed by a program's name: tells return probes, which have no number of their own, apart."""
_NUMBERS: dict[KernelType, int] = {
    KernelType.XDP: 0,
    KernelType.TC: 1,
    KernelType.TRACEPOINT: 2,
    KernelType.KPROBE: 3,
    KernelType.KRETPROBE: 3,
    KernelType.UPROBE: 4,
    KernelType.URETPROBE: 4,
    KernelType.FENTRY: 5,
    KernelType.FEXIT: 6,
    KernelType.TCX: 7,
    KernelType.LSM: 8,
}
_RETURNING = {KernelType.KRETPROBE: KernelType.KPROBE, KernelType.URETPROBE: KernelType.UPROBE}
_TYPES = {number: type_ for type_, number in _NUMBERS.items() if type_ not in _RETURNING}


def type_to_wire(type_: KernelType) -> BpfmanProgramType:
    """Print a program type; a return probe gets the number of its plain sister."""
    return BpfmanProgramType(_NUMBERS[type_])


def type_from_wire(number: int, name: str = "", metadata: Mapping[str, str] | None = None) -> KernelType:
    """Parse bpfman's program type of program `name`. Raises `InvalidSpec` for a number nobody knows."""
    if number not in _TYPES:
        raise InvalidSpec("program_type", f"{number} is none of bpfman's program types, 0 to {max(_TYPES)}")
    plain = _TYPES[number]
    told = (metadata or {}).get(ACTUAL_TYPE + name, "").lower()
    return next((ret for ret, base in _RETURNING.items() if base is plain and ret.value.lower() == told), plain)


def load_to_wire(load: KernelLoad) -> LoadRequest:
    """Print a Load of a file."""
    hints = {ACTUAL_TYPE + p.name: p.type.value.lower() for p in load.programs if p.type in _RETURNING}
    return LoadRequest(
        bytecode=BytecodeLocation(file=load.path),
        metadata={**load.metadata, **hints},
        global_data=dict(load.global_data),
        map_owner_id=load.map_owner,
        info=[_function_to_wire(program) for program in load.programs],
    )


def load_from_wire(message: LoadRequest) -> KernelLoad:
    """Parse a Load of a file. Raises `InvalidSpec`."""
    kind, place = betterproto.which_one_of(message.bytecode, "location")
    if kind != "file":
        raise InvalidSpec("bytecode", "a Load of ours names a file")
    return KernelLoad(
        path=place,
        programs=tuple(_function_from_wire(info, message.metadata) for info in message.info),
        global_data=dict(message.global_data),
        map_owner=None if message.map_owner_id is None else ProgramId(message.map_owner_id),
        metadata={key: value for key, value in message.metadata.items() if not key.startswith(ACTUAL_TYPE)},
    )


def _function_to_wire(program: KernelFunctionSpec) -> LoadInfo:
    info = LoadInfo(name=program.name, program_type=type_to_wire(program.type))
    match program.type:
        case KernelType.FENTRY:
            info.info = ProgSpecificInfo(fentry_load_info=FentryLoadInfo(fn_name=program.attach_to))
        case KernelType.FEXIT:
            info.info = ProgSpecificInfo(fexit_load_info=FexitLoadInfo(fn_name=program.attach_to))
        case KernelType.LSM:
            info.info = ProgSpecificInfo(lsm_load_info=LsmLoadInfo(hook_name=program.attach_to))
        case _:
            pass
    return info


def _function_from_wire(info: LoadInfo, metadata: Mapping[str, str]) -> KernelFunctionSpec:
    type_ = type_from_wire(int(info.program_type), info.name, metadata)
    target = ""
    if info.info is not None:
        _, specific = betterproto.which_one_of(info.info, "info")
        target = getattr(specific, "fn_name", "") or getattr(specific, "hook_name", "")
    return KernelFunctionSpec(name=info.name, type=type_, attach_to=target)


def load_response_from_wire(message: LoadResponse) -> tuple[KernelLoaded, ...]:
    """Parse the answer to Load. Raises `KernelRefused` for one that lacks what every daemon tells."""
    return tuple(loaded_from_wire(item.info, item.kernel_info, bpfman_numbers=False) for item in message.programs)


def loaded_from_wire(info: ProgramInfo, kernel: KernelProgramInfo, *, bpfman_numbers: bool) -> KernelLoaded:
    """Parse one loaded program; its type is told only where the daemon counts types as bpfman's enum does."""
    if not kernel.id:
        raise KernelRefused("the daemon told of a program without an id: it is no bpfman that we know")
    metadata = dict(info.metadata)
    return KernelLoaded(
        id=ProgramId(kernel.id),
        name=info.name,
        type=type_from_wire(kernel.program_type, info.name, metadata) if bpfman_numbers else None,
        tag=_tag(kernel),
        map_ids=tuple(kernel.map_ids),
        map_pin_path=info.map_pin_path,
        links=tuple(LinkId(link) for link in info.links),
        metadata={key: value for key, value in metadata.items() if not key.startswith(ACTUAL_TYPE)},
    )


def unmanaged_from_wire(kernel: KernelProgramInfo) -> KernelLoaded:
    """Parse what is told of a program that the daemon did not load: what the kernel says of it."""
    id_ = ProgramId(kernel.id)
    return KernelLoaded(id=id_, name=kernel.name, type=None, tag=_tag(kernel), map_ids=tuple(kernel.map_ids))


def _tag(kernel: KernelProgramInfo) -> str:
    return kernel.tag.zfill(16) if kernel.tag else ""  # the Rust daemon leaves leading zeros out


def loaded_to_wire(loaded: KernelLoaded) -> tuple[ProgramInfo, KernelProgramInfo]:
    """Print one loaded program as a daemon that counts types as bpfman's enum does."""
    hints = {ACTUAL_TYPE + loaded.name: loaded.type.value.lower()} if loaded.type in _RETURNING else {}
    info = ProgramInfo(
        name=loaded.name,
        links=list(loaded.links),
        map_pin_path=loaded.map_pin_path,
        metadata={**loaded.metadata, **hints},
    )
    kernel = KernelProgramInfo(
        id=loaded.id,
        name=loaded.name[:15],
        program_type=0 if loaded.type is None else _NUMBERS[loaded.type],
        tag=loaded.tag,
        map_ids=list(loaded.map_ids),
    )
    return info, kernel


def runs_from_wire(message: ProgramsResponse) -> dict[ProgramId, tuple[float, int]] | None:
    """Parse run time (seconds) and run count by program; None where the daemon does not keep them."""
    if not message.enabled:
        return None
    return {ProgramId(run.id): (run.run_time_ns / 1e9, run.run_count) for run in message.programs}
