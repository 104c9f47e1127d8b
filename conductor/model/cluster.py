"""Words about a Kubernetes API server: kinds of objects, names of objects, and what a watch tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from typing_extensions import override

from conductor.errors import ConductorError

__all__ = [
    "LEASES",
    "Document",
    "Gone",
    "Interrupted",
    "Key",
    "Listing",
    "Put",
    "Resource",
    "Synced",
    "WatchCounts",
    "WatchEvent",
    "version_of",
]

Document: TypeAlias = dict[str, Any]
"""An object as JSON has it; whoever keeps one keeps a parsed row instead."""
Row = TypeVar("Row")
Row_co = TypeVar("Row_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of objects, by the names in its path."""

    group: str
    """Empty for the core group."""
    version: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Answer the path of one object, or of all in a namespace, or of all."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        within = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return "/".join([f"{root}{within}/{self.plural}", *filter(None, (name, subresource))])

    @override
    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


LEASES = Resource("coordination.k8s.io", "v1", "leases")


def version_of(resource_version: str) -> int:
    """Answer what orders the versions of one object; 0 where it has none."""
    return int(resource_version) if resource_version.isdecimal() else 0


class Key(NamedTuple):
    """Which object of a kind; the namespace is empty for kinds without."""

    namespace: str
    name: str

    @classmethod
    def of(cls, document: Document) -> Key:
        """Read it from an object."""
        metadata = document["metadata"]
        return cls(metadata.get("namespace", ""), metadata["name"])

    @override
    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True)
class Listing(Generic[Row]):
    """All objects at one moment, as rows."""

    rows: dict[Key, Row]
    resource_version: str


@dataclass(frozen=True, slots=True)
class Put(Generic[Row_co]):
    """An object is there, new or changed; told once per row that differs."""

    key: Key
    row: Row_co


@dataclass(frozen=True, slots=True)
class Gone:
    """An object that was told of is not there any more (deleted, or it left the selection)."""

    key: Key


@dataclass(frozen=True, slots=True)
class Synced:
    """The watch is live: all that was there is told, and changes follow. Comes again after interruptions and lists."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The server cannot be watched for now; told once until the next `Synced`, while it is tried again."""

    error: ConductorError


WatchEvent: TypeAlias = Put[Row] | Gone | Synced | Interrupted


@dataclass(slots=True)
class WatchCounts:
    """What happened to a watch since it began; written by it alone."""

    lists: int = 0
    relists: int = 0
    """Lists after the first: history was gone, or the stream could not be trusted."""
    reconnects: int = 0
    """Streams opened again where the last one ended."""
    events: int = 0
    unchanged: int = 0
    """Events whose row was as before: not told."""
    bookmarks: int = 0
    failures: int = 0
    left_out: int = 0
    """Objects past the bound: not kept and not told."""
    unreadable: int = 0
    """Events whose object could not be read: not told."""
    rows: int = 0
    last_failure: str = ""
