"""UserProgram in manifests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conductor.errors import InvalidSpec
from conductor.model.grants import Access, MapGrant
from conductor.model.ids import Name
from conductor.model.manifest_bytecode import image_of, location_spec_of, map_name_of, path_of
from conductor.model.manifest_fields import Fields, shown
from conductor.model.manifest_json import check_json
from conductor.model.manifest_limits import limits_of, limits_spec_of
from conductor.model.program import BuiltinSource, UserProgramSpec, WasmSource

__all__ = ["check_grants", "parse_config", "user_program_of", "user_spec_of"]

_ACCESS = {access.word: access for access in Access}


def user_program_of(name: Name, spec: Fields, labels: Mapping[str, str]) -> UserProgramSpec:
    """Parse `spec` of a UserProgram."""
    spec.ignore("nodeSelector")  # it steers a fleet, as all but the strategy's type does: the controller alone reads it
    return UserProgramSpec(
        name=name,
        source=_source_of(spec.fields("source", required=True)),
        maps=spec.records("maps", _grant_of),
        config=parse_config(spec.value("config"), spec.at("config")),
        limits=limits_of(spec.fields("limits")),
        metadata=labels,
        overlap=spec.fields("updateStrategy").value("type") != "Recreate",
    )


def parse_config(raw: object, field: str = "config") -> dict[str, Any]:
    """Check that a config is a JSON object of bounded size. Raises `InvalidSpec`."""
    if raw is None:
        return {}
    if not isinstance(raw, Mapping):
        raise InvalidSpec(field, f"{shown(raw)} is not a JSON object")
    check_json(raw, field)
    return dict(raw)


def check_grants(grants: tuple[MapGrant, ...], field: str = "maps") -> None:
    """Check that no map is granted twice. Raises `InvalidSpec`."""
    seen: set[str] = set()
    for i, grant in enumerate(grants):
        if grant.name in seen:
            raise InvalidSpec(f"{field}[{i}].name", f"{shown(grant.name)} is granted twice")
        seen.add(grant.name)


def user_spec_of(spec: UserProgramSpec) -> dict[str, Any]:
    """Print `spec` of a UserProgram."""
    body: dict[str, Any] = {"source": _source_spec_of(spec.source)}
    if spec.maps:
        body["maps"] = [
            {"name": g.name, "kernelProgram": g.kernel_program, "map": g.map, "access": g.access.word}
            for g in spec.maps
        ]
    if spec.config:
        body["config"] = dict(spec.config)
    if limits := limits_spec_of(spec.limits):
        body["limits"] = limits
    if not spec.overlap:
        body["updateStrategy"] = {"type": "Recreate"}
    return body


def _source_of(source: Fields) -> BuiltinSource | WasmSource:
    if source.one_of("builtin", "wasm") == "builtin":
        found: BuiltinSource | WasmSource = BuiltinSource(name=source.text("builtin"))
    else:
        wasm = source.fields("wasm")
        if wasm.has("digest") and not wasm.has("path"):
            location: Any = path_of(wasm)
        elif wasm.one_of("image", "path") == "image":
            location = image_of(wasm.fields("image"))
        else:
            location = path_of(wasm)
        wasm.refuse_unknown()
        found = WasmSource(location=location)
    source.refuse_unknown()
    return found


def _source_spec_of(source: BuiltinSource | WasmSource) -> dict[str, Any]:
    if isinstance(source, BuiltinSource):
        return {"builtin": source.name}
    return {"wasm": location_spec_of(source.location)}


def _grant_of(grant: Fields) -> MapGrant:
    name = map_name_of(grant.text("name"), grant.at("name"))
    owner = grant.text("kernelProgram")  # old clients name a kernel function instead of a kernel program
    return MapGrant(
        name=name,
        kernel_program=Name(owner),
        map=map_name_of(grant.text("map", default=name), grant.at("map")),
        access=grant.choice("access", _ACCESS, default=Access.READ.word),
    )
