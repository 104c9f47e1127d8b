"""bpfman's messages to our words and back; generated messages stay in here.

`KernelProgramInfo.program_type` and the filter of `List` carry bpfman's own numbers (XDP 0 … LSM 8), as the Go daemon
does, not the kernel's: clients must tell a program's kind by its name and metadata. An unknown number is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import betterproto

from conductor.errors import InvalidSpec
from conductor.loader.records import KernelFacts, LinkRecord, LoadRecord, ProgramRecord
from conductor.loader.wire_hooks import PATH_MOST, text_from_wire
from conductor.model.ids import ProgramId
from conductor.model.image import Credentials
from conductor.model.kernel import KernelFunctionSpec, KernelType, PullPolicy
from conductor.ports import KernelLoad
from conductor.proto.bpfman import v1 as pb

__all__ = [
    "entry_to_wire",
    "filter_from_wire",
    "image_from_wire",
    "image_of_load",
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
_POLICIES = (PullPolicy.ALWAYS, PullPolicy.IF_NOT_PRESENT, PullPolicy.NEVER)
"""By their number on the wire."""
_PROGRAMS_MOST = 64
_METADATA_MOST = 65_536


def load_from_wire(request: pb.LoadRequest) -> KernelLoad:
    """Parse a Load; its path is empty where it names an image (`image_from_wire`). Raises `InvalidSpec`."""
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


def image_from_wire(msg: pb.BytecodeImage) -> tuple[str, PullPolicy, Credentials | None]:
    """Parse an image: its address, when to ask the registry, and by which name. Raises `InvalidSpec`."""
    number = int(msg.image_pull_policy)
    if number not in range(len(_POLICIES)):
        raise InvalidSpec("image.image_pull_policy", f"{number} is unknown: 0 Always, 1 IfNotPresent, 2 Never")
    url = text_from_wire(msg.url, "image.url", most=PATH_MOST)
    username, password = msg.username or "", msg.password or ""
    return url, _POLICIES[number], Credentials(username, password) if username else None


def image_of_load(request: pb.LoadRequest) -> pb.BytecodeImage | None:
    """The image that a Load names; None where it names a file."""
    kind, location = betterproto.which_one_of(request.bytecode, "location")
    return location if kind == "image" else None


def filter_from_wire(request: pb.ListRequest) -> Callable[[LoadRecord, ProgramRecord], bool]:
    """Parse a List: the type by bpfman's numbers, and metadata that must all be there. Raises `InvalidSpec`."""
    wanted, match = request.program_type, dict(request.match_metadata)
    if wanted is not None and wanted not in _TYPES:
        raise InvalidSpec("program_type", f"{wanted} is unknown; bpfman's types are 0 (XDP) to 8 (LSM)")

    def matches(load: LoadRecord, program: ProgramRecord) -> bool:
        return (wanted is None or _NUMBERS[program.type] == wanted) and match.items() <= load.metadata.items()

    return matches


def info_to_wire(
    load: LoadRecord,
    program: ProgramRecord,
    *,
    links: Sequence[LinkRecord],
    map_pins: Path,
    used_by: Sequence[ProgramId],
    image: str = "",
) -> pb.ProgramInfo:
    """Print what we keep of a program; `image` is where its object came from, if not from a file."""
    where = pb.BytecodeLocation(image=pb.BytecodeImage(url=image)) if image else pb.BytecodeLocation(file=load.path)
    return pb.ProgramInfo(
        name=program.name,
        bytecode=where,
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
        return ""
    if not location:
        raise InvalidSpec("bytecode", "says nothing of where the object is: set file")
    path = text_from_wire(location, "bytecode.file", most=PATH_MOST)
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
        name=text_from_wire(info.name, f"{where}.name"),
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
    return text_from_wire(getattr(info, field), f"{where}.{kind}.{field}")
