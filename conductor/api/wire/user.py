"""User programs on the wire: LoadRequest, UpdateRequest, ListRequest, ProgramInfo."""

from __future__ import annotations

import re
from collections.abc import Mapping

import betterproto

from conductor.api.message_layout import made
from conductor.api.wire.images import POLICIES, image_from_wire
from conductor.api.wire.values import (
    config_from_wire,
    config_to_wire,
    enum_from_wire,
    labels_from_wire,
    limits_to_wire,
    milliseconds,
    seconds,
    source_from_word,
)
from conductor.errors import InvalidSpec
from conductor.model.grants import Access, MapGrant
from conductor.model.ids import Name, ProgramId, parse_name
from conductor.model.kernel import ImageObject, PathObject
from conductor.model.manifest_bytecode import map_name_of
from conductor.model.manifest_limits import parse_limits
from conductor.model.manifest_user import check_grants
from conductor.model.program import BuiltinSource, ProgramType, UserProgramSpec, WasmSource
from conductor.model.status import Condition, MapStatus, ProgramStatus, State
from conductor.proto.agent import v1 as pb

__all__ = [
    "filter_from_wire",
    "spec_from_wire",
    "spec_to_wire",
    "status_from_wire",
    "status_to_wire",
    "strategy_from_wire",
]

MAX_GRANTS = 64
_FUNCTION = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,62}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def spec_from_wire(msg: pb.LoadRequest) -> UserProgramSpec:
    """Parse a wish. A built-in without `config` also reads `metadata.interval`, as old clients send it.

    Raises `InvalidSpec`. Credentials of an image are no part of a spec: `credentials_from_wire`.
    """
    name = parse_name(msg.name)
    kind = enum_from_wire(ProgramType, msg.program_type, "program_type")
    metadata = labels_from_wire(msg.metadata, "metadata")
    config = config_from_wire(msg.config)
    if kind is ProgramType.BUILTIN and not msg.config and "interval" in metadata:
        config = {"interval": _interval(metadata["interval"])}
    return UserProgramSpec(
        name=name,
        source=_source_from_wire(msg, kind),
        maps=_grants_from_wire(msg.ebpf_maps, [grant for grant in msg.maps if not grant.implied]),
        config=config,
        limits=parse_limits(msg.limits),
        metadata=metadata,
    )


def spec_to_wire(spec: UserProgramSpec) -> pb.LoadRequest:
    """Print a wish; the client's half of `spec_from_wire`."""
    builtin, bytecode = _source_to_wire(spec)
    _check_open_grants(spec)
    msg = pb.LoadRequest(
        name=spec.name,
        program_type=int(spec.type),
        metadata=dict(spec.metadata),
        builtin=builtin,
        config=config_to_wire(spec.config) or "{}",
        ebpf_maps={grant.name: grant.kernel_program for grant in spec.maps if grant.as_needed},
        maps=[_grant_to_wire(grant) for grant in spec.maps if not grant.as_needed],
        limits=limits_to_wire(spec.limits),
    )
    if bytecode is not None:
        msg.bytecode = bytecode
    return msg


def status_to_wire(status: ProgramStatus) -> pb.ProgramInfo:
    """Print a program as it stands."""
    spec, condition = status.spec, status.condition
    builtin, bytecode = _source_to_wire(spec)
    where = {} if bytecode is None else {"bytecode": bytecode}
    return made(
        pb.ProgramInfo,
        name=spec.name,
        program_type=int(spec.type),
        state=int(condition.state),
        ebpf_maps={m.name: m.program_id for m in status.maps if m.program_id is not None},
        metadata=dict(spec.metadata),
        reason=condition.reason,
        message=condition.message,
        since=milliseconds(condition.since),
        restarts=status.restarts,
        generation=status.generation,
        builtin=builtin,
        config=config_to_wire(spec.config),
        source=status.source.word,
        digest=status.digest,
        maps=_maps_to_wire(status),
        limits=limits_to_wire(spec.limits),
        **where,
    )


def status_from_wire(msg: pb.ProgramInfo) -> ProgramStatus:
    """Parse what an agent answers. Raises `InvalidSpec`."""
    kind = enum_from_wire(ProgramType, msg.program_type, "program_type")
    grants = _grants_from_wire({}, msg.maps)
    asked = tuple(grant for grant, sent in zip(grants, msg.maps, strict=True) if not sent.implied)
    ids = {name: ProgramId(number) for name, number in msg.ebpf_maps.items()}
    spec = UserProgramSpec(
        name=parse_name(msg.name),
        source=_source_from_wire(msg, kind),
        maps=asked,
        config=config_from_wire(msg.config),
        limits=parse_limits(msg.limits),
        metadata=dict(msg.metadata),
    )
    return ProgramStatus(
        spec=spec,
        source=source_from_word(msg.source),
        condition=Condition(
            state=enum_from_wire(State, msg.state, "state"),
            reason=msg.reason,
            message=msg.message,
            since=seconds(msg.since),
        ),
        restarts=msg.restarts,
        generation=msg.generation,
        maps=tuple(_map_status(grant, ids.get(grant.name)) for grant in grants),
        digest=msg.digest,
    )


def filter_from_wire(msg: pb.ListRequest) -> tuple[ProgramType | None, Mapping[str, str]]:
    """Parse what to list: a kind, and metadata that must all be equal. Raises `InvalidSpec`."""
    kind = None if msg.program_type is None else enum_from_wire(ProgramType, msg.program_type, "program_type")
    return kind, labels_from_wire(msg.match_metadata, "match_metadata")


def strategy_from_wire(msg: pb.UpdateStrategy) -> tuple[bool, bool]:
    """Parse how to update: whether versions overlap, whether a bad one is taken back. Raises `InvalidSpec`."""
    if msg.type not in ("", "Overlap", "Recreate"):
        raise InvalidSpec("strategy.type", f"{msg.type[:40]!r} is unknown: Overlap (default), Recreate")
    return msg.type != "Recreate", not msg.no_rollback


def _source_from_wire(msg: pb.LoadRequest | pb.ProgramInfo, kind: ProgramType) -> BuiltinSource | WasmSource:
    which, _ = betterproto.which_one_of(msg.bytecode, "location")
    if kind is ProgramType.BUILTIN:
        if which:
            raise InvalidSpec("bytecode", "a built-in program has none; program_type 1 (Wasm) has")
        return BuiltinSource(name=parse_name(msg.builtin or msg.name, "builtin"))
    if msg.builtin:
        raise InvalidSpec("builtin", "a Wasm program has bytecode instead")
    return WasmSource(location=_location_from_wire(msg.bytecode, which))


def _location_from_wire(msg: pb.BytecodeLocation, which: str) -> PathObject | ImageObject:
    match which:
        case "image":
            return image_from_wire(msg.image, "bytecode.image")
        case "file":
            if not msg.file.startswith("/") or len(msg.file) > 4096 or "\0" in msg.file:
                raise InvalidSpec(
                    "bytecode.file", "must be an absolute path; Upload takes files that the agent can't read"
                )
            return PathObject(path=msg.file)
        case "digest":
            if not _DIGEST.fullmatch(msg.digest):
                raise InvalidSpec("bytecode.digest", "must be what Upload answered: sha256: and 64 hex digits")
            return PathObject(path="", digest=msg.digest)
        case _:
            raise InvalidSpec("bytecode", "a Wasm program needs an image, a file or an uploaded digest")


def _source_to_wire(spec: UserProgramSpec) -> tuple[str, pb.BytecodeLocation | None]:
    if isinstance(spec.source, BuiltinSource):
        return spec.source.name, None
    location = spec.source.location
    if isinstance(location, ImageObject):
        image = pb.BytecodeImage(url=location.url, image_pull_policy=POLICIES.index(location.pull_policy))
        return "", pb.BytecodeLocation(image=image)
    if location.path:
        return "", pb.BytecodeLocation(file=location.path)
    return "", pb.BytecodeLocation(digest=location.digest)


def _grants_from_wire(old: Mapping[str, str], new: list[pb.MapGrant]) -> tuple[MapGrant, ...]:
    """Read both ways to grant maps. Old clients name the map and a kernel program, or the kernel's name of a function.

    They cannot say how a map may be used: as the program's own need asks.
    """
    grants = [_old_grant(name, kernel_program) for name, kernel_program in old.items()]
    grants += [_grant_from_wire(msg, f"maps[{index}]") for index, msg in enumerate(new)]
    if len(grants) > MAX_GRANTS:
        raise InvalidSpec("maps", f"{len(grants)} grants, at most {MAX_GRANTS}")
    check_grants(tuple(grants))
    return tuple(grants)


def _old_grant(name: str, kernel_program: str) -> MapGrant:
    field = f"ebpf_maps.{name[:63]}"
    owner = _kernel_program(kernel_program, field)
    return MapGrant(name=map_name_of(name, field), kernel_program=owner, map=name, as_needed=True)


def _grant_from_wire(msg: pb.MapGrant, field: str) -> MapGrant:
    return MapGrant(
        name=map_name_of(msg.name, f"{field}.name"),
        kernel_program=_kernel_program(msg.kernel_program, f"{field}.kernel_program"),
        map=map_name_of(msg.map or msg.name, f"{field}.map"),
        access=enum_from_wire(Access, msg.access, f"{field}.access"),
    )


def _kernel_program(raw: str, field: str) -> Name:
    """Check a kernel program's name; a kernel function's, or the 15 characters the kernel keeps of it, will do too."""
    return Name(raw) if _FUNCTION.fullmatch(raw) else parse_name(raw, field)


def _grant_to_wire(grant: MapGrant | MapStatus) -> pb.MapGrant:
    return pb.MapGrant(name=grant.name, kernel_program=grant.kernel_program, map=grant.map, access=int(grant.access))


def _check_open_grants(spec: UserProgramSpec) -> None:
    """Refuse a grant that leaves both open: only the old way has no access, and it has one name for both ends."""
    for i, grant in enumerate(spec.maps):
        if grant.as_needed and grant.map != grant.name:
            raise InvalidSpec(f"maps[{i}].access", f"{grant.name} is map {grant.map} there: say how it may be used")


def _maps_to_wire(status: ProgramStatus) -> list[pb.MapGrant]:
    """Print the grants as they were asked for, then the maps of a kernel half that came along, as implied."""
    sent = [_grant_to_wire(grant) for grant in status.spec.maps]
    asked = {grant.name for grant in status.spec.maps}
    for implied in (_grant_to_wire(standing) for standing in status.maps if standing.name not in asked):
        implied.implied = True
        sent.append(implied)
    return sent


def _map_status(grant: MapGrant, program: ProgramId | None) -> MapStatus:
    return MapStatus(
        name=grant.name, kernel_program=grant.kernel_program, map=grant.map, access=grant.access, program_id=program
    )


def _interval(text: str) -> float:
    try:
        value = config_from_wire(f'{{"interval":{text}}}', "metadata.interval")["interval"]
    except InvalidSpec:
        value = None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidSpec("metadata.interval", f"{text[:40]!r} is no number of seconds")
    return value
