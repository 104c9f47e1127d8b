"""Manifests: the very YAML that the CRDs take, parsed to wishes and printed back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conductor.errors import InvalidSpec
from conductor.model.ids import parse_name
from conductor.model.kernel import KernelProgramSpec
from conductor.model.manifest_fields import Fields, did_you_mean, shown
from conductor.model.manifest_kernel import kernel_program_of, kernel_spec_of
from conductor.model.manifest_user import user_program_of, user_spec_of
from conductor.model.program import ProgramSpec

__all__ = ["API_VERSION", "KERNEL_PROGRAM", "USER_PROGRAM", "kind_of", "manifest_of", "parse_manifest"]

API_VERSION = "ebpfconductor.io/v1alpha1"
KERNEL_PROGRAM = "KernelProgram"
USER_PROGRAM = "UserProgram"
_KINDS = (KERNEL_PROGRAM, USER_PROGRAM)
_SERVER_METADATA = (
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
)


def parse_manifest(doc: Mapping[str, Any], *, unknown: list[str] | None = None) -> ProgramSpec:
    """Parse one document. Raises `InvalidSpec` with the path of the field.

    With `unknown`, fields that this version does not know are noted there instead of being refused.
    """
    top = Fields(doc, "", unknown)
    version = top.text("apiVersion")
    if version != API_VERSION:
        raise InvalidSpec("apiVersion", f"{shown(version)} is not {API_VERSION}")
    kind = top.text("kind")
    if kind not in _KINDS:
        raise InvalidSpec("kind", f"{shown(kind)} is not {' or '.join(_KINDS)}{did_you_mean(kind, _KINDS)}")
    head = top.fields("metadata", required=True)
    name = parse_name(head.required("name"), "metadata.name")
    if head.has("namespace"):
        raise InvalidSpec("metadata.namespace", f"a {kind} is cluster-scoped; leave the namespace out")
    labels = head.words("labels", longest=4096)
    head.ignore(*_SERVER_METADATA)
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


def kind_of(spec: ProgramSpec) -> str:
    """Kind of a wish, as in manifests."""
    return KERNEL_PROGRAM if isinstance(spec, KernelProgramSpec) else USER_PROGRAM
