"""KernelProgram in manifests."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from conductor.errors import InvalidSpec
from conductor.model.ids import Name, parse_name
from conductor.model.kernel import KernelFunctionSpec, KernelProgramSpec, KernelType
from conductor.model.manifest_bytecode import bytecode_of, bytecode_spec_of, map_name_of
from conductor.model.manifest_fields import Fields, shown, text_of
from conductor.model.manifest_links import links_of, links_spec_of

__all__ = ["kernel_program_of", "kernel_spec_of"]

GLOBAL_BYTES = 64 << 10
_TYPES = {kind.value: kind for kind in KernelType}


def kernel_program_of(name: Name, spec: Fields, labels: Mapping[str, str]) -> KernelProgramSpec:
    """Parse `spec` of a KernelProgram."""
    spec.ignore("nodeSelector", "updateStrategy")  # they steer a fleet; the controller alone reads them
    bytecode = spec.fields("bytecode", required=True)
    owner = spec.value("mapOwner")
    programs = spec.records("programs", _function_of)
    parsed = KernelProgramSpec(
        name=name,
        bytecode=bytecode_of(bytecode),
        programs=programs,
        global_data=_global_data_of(spec),
        map_owner=None if owner is None else parse_name(owner, spec.at("mapOwner")),
        writable_maps=tuple(map_name_of(name, spec.at("writableMaps")) for name in spec.texts("writableMaps")),
        metadata=labels,
    )
    bytecode.refuse_unknown()
    return parsed


def kernel_spec_of(spec: KernelProgramSpec) -> dict[str, Any]:
    """Print `spec` of a KernelProgram."""
    body: dict[str, Any] = {"bytecode": bytecode_spec_of(spec.bytecode)}
    if spec.global_data:
        body["globalData"] = {k: base64.b64encode(v).decode() for k, v in spec.global_data.items()}
    if spec.map_owner is not None:
        body["mapOwner"] = spec.map_owner
    if spec.writable_maps:
        body["writableMaps"] = list(spec.writable_maps)
    body["programs"] = [_function_spec_of(function) for function in spec.programs]
    return body


def _function_of(fields: Fields) -> KernelFunctionSpec:
    name = fields.text("name")
    kind = fields.choice("type", _TYPES)
    links, target = links_of(kind, fields)
    return KernelFunctionSpec(name=name, type=kind, links=links, attach_to=target)


def _function_spec_of(function: KernelFunctionSpec) -> dict[str, Any]:
    return {"name": function.name, "type": function.type.value, **links_spec_of(function)}


def _global_data_of(spec: Fields) -> dict[str, bytes]:
    return {name: _bytes_of(value, path) for name, value, path in spec.entries("globalData", 64)}


def _bytes_of(value: object, field: str) -> bytes:
    try:
        return base64.b64decode(text_of(value, field, most=GLOBAL_BYTES * 4 // 3 + 4, empty=True), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise InvalidSpec(field, f"{shown(value)} is not base64, as the bytes of a global variable must be") from exc
