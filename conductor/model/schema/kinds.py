"""Our kinds, whole: names, columns, and the CustomResourceDefinitions made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from conductor.model.schema.programs import KERNEL_SPEC, NAME_LENGTH, USER_SPEC
from conductor.model.schema.statuses import FLEET_STATUS, NODE_SPEC, NODE_STATUS
from conductor.model.schema.tree import Node, record

__all__ = [
    "GROUP",
    "KERNEL_PROGRAM",
    "KINDS",
    "NODE_STATE",
    "USER_PROGRAM",
    "VERSION",
    "Kind",
    "definition",
    "schema_of",
]

GROUP, VERSION = "ebpfconductor.io", "v1alpha1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of `kubectl get`; a wide one is shown with `-o wide`."""

    name: str
    path: str
    type: str = "string"
    about: str = ""
    wide: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One of our kinds. `name_length` bounds the names of its objects."""

    kind: str
    short: str
    about: str
    spec: Node
    status: Node
    columns: tuple[Column, ...]
    name_length: int
    required: tuple[str, ...] = ("spec",)

    @property
    def plural(self) -> str:
        """As in the path of the API."""
        return f"{self.kind.lower()}s"

    @property
    def root(self) -> Node:
        """The schema of a whole object, its metadata left to the API server."""
        name: Node = {"type": "string", "maxLength": self.name_length}
        return record(
            self.about,
            {"metadata": {"type": "object", "properties": {"name": name}}, "spec": self.spec, "status": self.status},
            required=self.required,
        )


_AGE = Column(name="Age", path=".metadata.creationTimestamp", type="date")
_FLEET = (
    Column(name="Desired", path=".status.nodes.desired", type="integer", about="Nodes that are chosen."),
    Column(name="Ready", path=".status.nodes.ready", type="integer", about="Nodes on which it runs."),
    Column(name="Updated", path=".status.nodes.updated", type="integer", about="Nodes that have the newest revision."),
    Column(name="Failed", path=".status.nodes.failed", type="integer", about="Nodes on which it failed."),
    Column(name="Phase", path=".status.phase", about="Where the change stands."),
    Column(name="Revision", path=".status.revision", about="The last good revision."),
    Column(name="Update", path=".status.updateRevision", about="The revision nodes are brought to.", wide=True),
    Column(name="First failure", path=".status.failures[0].message", about="Why the first node failed.", wide=True),
    _AGE,
)

KERNEL_PROGRAM = Kind(
    kind="KernelProgram",
    short="kp",
    about="The kernel half of an eBPF tool: one object, its programs, and where they are attached.",
    spec=KERNEL_SPEC,
    status=FLEET_STATUS,
    columns=_FLEET,
    name_length=NAME_LENGTH,
)
USER_PROGRAM = Kind(
    kind="UserProgram",
    short="up",
    about="The user-space half of an eBPF tool: a built-in or a WebAssembly module that reads maps and serves metrics.",
    spec=USER_SPEC,
    status=FLEET_STATUS,
    columns=_FLEET,
    name_length=NAME_LENGTH,
)
NODE_STATE = Kind(
    kind="NodeState",
    short="nst",
    about="What one node, named as this object, is to run and what it says of it. Not for people to write.",
    spec=NODE_SPEC,
    status=NODE_STATUS,
    columns=(
        Column(name="Ready", path=".status.agent.ready", type="boolean", about="Whether the agent is ready."),
        Column(name="Road", path=".status.agent.road", about="Road to the kernel."),
        Column(name="Flavour", path=".status.agent.flavour", about="Which daemon answers on it.", wide=True),
        Column(name="Version", path=".status.agent.version", about="Version of the agent."),
        Column(name="Generation", path=".metadata.generation", type="integer", wide=True),
        Column(
            name="Observed",
            path=".status.observedGeneration",
            type="integer",
            about="What the agent has seen.",
            wide=True,
        ),
        _AGE,
    ),
    name_length=253,
    required=(),
)
KINDS: Mapping[str, Kind] = {kind.kind: kind for kind in (KERNEL_PROGRAM, USER_PROGRAM, NODE_STATE)}


def definition(kind: Kind) -> dict[str, Any]:
    """Make the CustomResourceDefinition of a kind."""
    names = {"kind": kind.kind, "listKind": f"{kind.kind}List", "plural": kind.plural, "singular": kind.kind.lower()}
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column_of(column) for column in kind.columns],
        "schema": {"openAPIV3Schema": schema_of(kind.root)},
    }
    spec = {
        "group": GROUP,
        "scope": "Cluster",
        "names": {**names, "shortNames": [kind.short], "categories": ["ebpfconductor"]},
        "versions": [version],
    }
    head = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    return {**head, "metadata": {"name": f"{kind.plural}.{GROUP}"}, "spec": spec}


def schema_of(node: Node) -> dict[str, Any]:
    """Print a node as the API server takes it, rules as CEL."""
    return dict(_printed(node))


def _printed(node: Node) -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if key == "rules":
            yield "x-kubernetes-validations", [_rule_of(rule) for rule in value]
        elif key == "properties":
            yield key, {name: schema_of(child) for name, child in value.items()}
        elif key in {"items", "additionalProperties"}:
            yield key, schema_of(value)
        else:
            yield key, value


def _rule_of(rule: Any) -> dict[str, str]:
    printed = {"rule": rule.cel, "message": rule.message}
    return printed | ({"fieldPath": rule.field} if rule.field else {})


def _column_of(column: Column) -> dict[str, Any]:
    printed: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.path}
    if column.about:
        printed["description"] = column.about
    return printed | ({"priority": 1} if column.wide else {})
