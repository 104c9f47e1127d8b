"""Manifests: the very YAML that the CRDs take, parsed to wishes and printed back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conductor.errors import InvalidSpec
from conductor.model.ids import parse_name
from conductor.model.kernel import KernelProgramSpec
from conductor.model.manifest_fields import Fields, did_you_mean
from conductor.model.manifest_kernel import kernel_program_of, kernel_spec_of
from conductor.model.manifest_user import user_program_of, user_spec_of
from conductor.model.program import ProgramSpec
from conductor.model.schema.metadata import FIELDS

__all__ = ["API_VERSION", "KERNEL_PROGRAM", "USER_PROGRAM", "kind_of", "manifest_of", "parse_manifest"]

API_VERSION = "ebpfconductor.io/v1alpha1"
KERNEL_PROGRAM = "KernelProgram"
USER_PROGRAM = "UserProgram"
_KINDS = (KERNEL_PROGRAM, USER_PROGRAM)
_VERSION_HINT = f"; it is {API_VERSION}"


def parse_manifest(doc: Mapping[str, Any], *, unknown: list[str] | None = None) -> ProgramSpec:
    """Parse one document. Raises `InvalidSpec` with the path of the field.

    What the API server would refuse is refused, in its words. With `unknown` the document is a stored one, perhaps of
    another version: the schema is not asked, and fields that this version does not know are noted there.
    """
    top = Fields(doc, "", unknown)
    kind = _kind_of(top)
    if unknown is None:
        _refuse_bad(doc, kind)
    head = top.fields("metadata", required=True)
    name = parse_name(head.required("name"), "metadata.name")
    labels = head.words("labels", most=1024, longest=4096)
    head.ignore(*FIELDS)
    head.refuse_unknown()
    spec = top.fields("spec", required=True)
    top.ignore("status")
    parse = kernel_program_of if kind == KERNEL_PROGRAM else user_program_of
    parsed = parse(name, spec, labels)
    spec.refuse_unknown()
    top.refuse_unknown()
    return parsed


def manifest_of(spec: ProgramSpec) -> dict[str, Any]:
    """Print a wish as a document that `parse_manifest` reads back to the same wish."""
    metadata: dict[str, Any] = {"name": spec.name}
    if spec.metadata:
        metadata["labels"] = dict(spec.metadata)
    body = kernel_spec_of(spec) if isinstance(spec, KernelProgramSpec) else user_spec_of(spec)
    return {"apiVersion": API_VERSION, "kind": kind_of(spec), "metadata": metadata, "spec": body}


def _kind_of(top: Fields) -> str:
    """Read which kind it is, and refuse others as kubectl does."""
    for key in ("apiVersion", "kind"):
        if not top.has(key):
            raise InvalidSpec(key, f"{key} not set")
    version, kind = top.text("apiVersion"), top.text("kind")
    if version != API_VERSION or kind not in _KINDS:
        field, hint = ("kind", did_you_mean(kind, _KINDS)) if version == API_VERSION else ("apiVersion", _VERSION_HINT)
        raise InvalidSpec(field, f'no matches for kind "{kind}" in version "{version}"{hint}')
    return kind


def _refuse_bad(doc: Mapping[str, Any], kind: str) -> None:
    from conductor.model.schema.check import causes_of  # noqa: PLC0415 - 20 ms, where there is a new manifest only
    from conductor.model.schema.kinds import KINDS  # noqa: PLC0415 - as above

    for cause in causes_of(doc, KINDS[kind]):
        raise InvalidSpec(cause.field, f"{cause.message}{cause.hint}")


def kind_of(spec: ProgramSpec) -> str:
    """Kind of a wish, as in manifests."""
    return KERNEL_PROGRAM if isinstance(spec, KernelProgramSpec) else USER_PROGRAM
