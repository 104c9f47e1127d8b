"""Words of a fleet: which node is to run which revision of which program, and what it says of it.

Rows are what is kept of an object; each is parsed from a plain document whatever it lacks, as an API server and its
schema stand before it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from sys import intern
from typing import NamedTuple, Self, TypeVar

from typing_extensions import override

from conductor.model.cluster import Document, Resource
from conductor.model.fleet_times import moment_of, stamp_of
from conductor.model.manifest import API_VERSION, KERNEL_PROGRAM, USER_PROGRAM
from conductor.model.status import State

__all__ = [
    "AGENT_SILENT",
    "API_VERSION",
    "CONTROLLER_REVISIONS",
    "FINALIZER",
    "FLEET_EVENTS",
    "GROUP",
    "KERNEL_PROGRAM",
    "KERNEL_PROGRAMS",
    "KIND_LABEL",
    "MOST_MESSAGE_BYTES",
    "MOST_PROGRAMS",
    "NODES",
    "NODE_STATE",
    "NODE_STATES",
    "PROGRAM_LABEL",
    "RESOURCES",
    "USER_PROGRAM",
    "USER_PROGRAMS",
    "VERSION",
    "AgentReport",
    "Assignment",
    "FleetKey",
    "NodeRow",
    "NodeStateRow",
    "ProgramReport",
    "revision_name",
]

GROUP, VERSION = "ebpfconductor.io", "v1alpha1"
KERNEL_PROGRAMS = Resource(GROUP, VERSION, "kernelprograms", namespaced=False)
USER_PROGRAMS = Resource(GROUP, VERSION, "userprograms", namespaced=False)
NODE_STATES = Resource(GROUP, VERSION, "nodestates", namespaced=False)
CONTROLLER_REVISIONS = Resource("apps", "v1", "controllerrevisions")
NODES = Resource("", "v1", "nodes", namespaced=False)
FLEET_EVENTS = Resource("events.k8s.io", "v1", "events")
NODE_STATE = "NodeState"
RESOURCES = {KERNEL_PROGRAM: KERNEL_PROGRAMS, USER_PROGRAM: USER_PROGRAMS}
FINALIZER = f"{GROUP}/programs"
KIND_LABEL, PROGRAM_LABEL = f"{GROUP}/kind", f"{GROUP}/program"
"""Labels of a ControllerRevision: whose it is."""
MOST_PROGRAMS = 64
"""Programs of one node."""
MOST_MESSAGE_BYTES = 256


class FleetKey(NamedTuple):
    """Which program of the cluster."""

    kind: str
    name: str

    @override
    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def revision_name(key: FleetKey, digest: str) -> str:
    """Name the ControllerRevision of what a program is at this hash."""
    return f"{'kp' if key.kind == KERNEL_PROGRAM else 'up'}-{key.name}-{digest[:10]}"


@dataclass(frozen=True, slots=True)
class Assignment:
    """One program of a node, by reference: its content is the revision's."""

    kind: str
    name: str
    revision: str
    """Name of a ControllerRevision."""
    hash: str

    @property
    def key(self) -> FleetKey:
        """Which program."""
        return FleetKey(self.kind, self.name)

    @classmethod
    def parse(cls, raw: Mapping[str, object]) -> Self:
        """Read an item of `NodeState.spec.programs`."""
        # One by one, here and below: the leader reads fifty of each with every word of every node.
        return cls(_text(raw, "kind"), _text(raw, "name"), _text(raw, "revision"), _text(raw, "hash"))

    def printed(self) -> Document:
        """Print that item."""
        return {"kind": self.kind, "name": self.name, "revision": self.revision, "hash": self.hash}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramReport:
    """Where one program stands on a node: the version of this hash, as its agent says."""

    kind: str
    name: str
    hash: str
    state: State
    reason: str = ""
    message: str = ""
    """Cut to 256 bytes when it is printed."""
    since: float = 0.0
    """Unix seconds; whole ones, once they were printed."""

    @property
    def key(self) -> FleetKey:
        """Which program."""
        return FleetKey(self.kind, self.name)

    @classmethod
    def parse(cls, raw: Mapping[str, object]) -> Self | None:
        """Read an item of `NodeState.status.programs`; None where its state is no word of ours."""
        if (state := _STATES.get(_text(raw, "state"))) is None:
            return None
        return cls(
            kind=_text(raw, "kind"),
            name=_text(raw, "name"),
            hash=_text(raw, "hash"),
            state=state,
            reason=_text(raw, "reason") if "reason" in raw else "",
            message=_text(raw, "message") if "message" in raw else "",
            since=moment_of(raw.get("since")),
        )

    def printed(self) -> Document:
        """Print that item; what is empty is left out."""
        told: Document = {"kind": self.kind, "name": self.name, "hash": self.hash, "state": self.state.word}
        if self.reason:
            told["reason"] = self.reason
        if self.message:
            told["message"] = _cut(self.message)
        if self.since:
            told["since"] = stamp_of(self.since)
        return told


_STATES = {state.word: state for state in State}


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentReport:
    """What an agent says of itself."""

    version: str = ""
    road: str = ""
    """Socket of the kernel daemon; empty: none answers."""
    flavour: str = ""
    """Which daemon that is."""
    ready: bool = False

    @classmethod
    def parse(cls, raw: Mapping[str, object]) -> Self:
        """Read `NodeState.status.agent`."""
        version, road, flavour = (_text(raw, name) for name in ("version", "road", "flavour"))
        return cls(version=version, road=road, flavour=flavour, ready=raw.get("ready") is True)

    def printed(self) -> Document:
        """Print it whole: in a merge nothing of before is left."""
        return {"version": self.version, "road": self.road, "flavour": self.flavour, "ready": self.ready}


_Item = TypeVar("_Item", Assignment, ProgramReport)
AGENT_SILENT = AgentReport()
"""No agent has written there yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStateRow:
    """What one node is to run, and what its agent says."""

    name: str
    resource_version: str = ""
    generation: int = 0
    spec: tuple[Assignment, ...] = ()
    observed: tuple[ProgramReport, ...] = ()
    observed_generation: int = 0
    """The generation that `observed` answers; 0: no agent has looked yet."""
    agent: AgentReport = AGENT_SILENT

    def assigned(self, key: FleetKey) -> Assignment | None:
        """Answer what it is to run of a program."""
        kind, name = key
        for item in self.spec:  # a plain loop: the leader asks it for every program of every node
            if item.name == name and item.kind == kind:
                return item
        return None

    def reported(self, key: FleetKey) -> ProgramReport | None:
        """Answer what its agent says of a program."""
        kind, name = key
        for item in self.observed:
            if item.name == name and item.kind == kind:
                return item
        return None

    @classmethod
    def parse(cls, document: Document) -> Self:
        """Read a NodeState."""
        metadata, spec, status = (document.get(part) or {} for part in ("metadata", "spec", "status"))
        reports = (ProgramReport.parse(raw) for raw in status.get("programs") or ())
        return cls(
            name=metadata["name"],
            resource_version=metadata.get("resourceVersion") or "",
            generation=metadata.get("generation") or 0,
            spec=_first_of_each(Assignment.parse(raw) for raw in spec.get("programs") or ()),
            observed=_first_of_each(report for report in reports if report is not None),
            observed_generation=status.get("observedGeneration") or 0,
            agent=AgentReport.parse(status["agent"]) if status.get("agent") else AGENT_SILENT,
        )

    def document(self) -> Document:
        """Print the object that the leader creates: without a status, which is the agent's."""
        metadata: Document = {"name": self.name}
        if self.resource_version:
            metadata["resourceVersion"] = self.resource_version
        spec = {"programs": [item.printed() for item in self.spec]}
        return {"apiVersion": API_VERSION, "kind": NODE_STATE, "metadata": metadata, "spec": spec}

    def status(self) -> Document:
        """Print the status that the agent writes."""
        return {
            "observedGeneration": self.observed_generation,
            "agent": self.agent.printed(),
            "programs": [report.printed() for report in self.observed],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """A node of the cluster."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    ready: bool = True

    @classmethod
    def parse(cls, document: Document) -> Self:
        """Read a Node. Without a condition Ready it counts as ready."""
        metadata, status = document["metadata"], document.get("status") or {}
        return cls(
            name=metadata["name"], labels=metadata.get("labels") or {}, ready=_is_ready(status.get("conditions") or ())
        )


def _first_of_each(items: Iterable[_Item]) -> tuple[_Item, ...]:
    """Leave out what is there twice: no schema refuses it to whoever edits an object by hand."""
    found: dict[tuple[str, str], _Item] = {}
    for item in items:
        found.setdefault((item.kind, item.name), item)
    return tuple(found.values())


def _is_ready(conditions: Collection[Mapping[str, object]]) -> bool:
    return all(item.get("status") == "True" for item in conditions if item.get("type") == "Ready")


def _text(raw: Mapping[str, object], name: str) -> str:
    value = raw.get(name)
    return intern(value) if isinstance(value, str) else ""  # the same words are in every node's row


def _cut(message: str) -> str:
    """Cut to what the schema takes, never through a character."""
    whole = message.encode()
    if len(whole) <= MOST_MESSAGE_BYTES:
        return message
    return whole[: MOST_MESSAGE_BYTES - 3].decode(errors="ignore") + "…"
