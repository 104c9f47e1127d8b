"""An API server in memory, at the level of its requests: our real client runs before it, over `FakeConnection`.

What it models: one revision over all objects, guarded and conflicting writes, generations, the status subresource,
merge patches, finalizers, preconditions of deletes, label and field selectors, lists in chunks whose tokens expire,
watches with bookmarks that end in time and refuse revisions that were compacted. What is refused has a Status as the
real one gives it. It does not validate objects, knows no RBAC but `refuse`, and lets any resource exist.
Each behaviour here is held to the real server by `tests/kube/test_contract.py`.
"""

from __future__ import annotations

import copy
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from conductor.kube.requests import Reply, Request

__all__ = ["Change", "FakeApi", "Place", "selected"]

Document = dict[str, Any]
NAMELESS = ("metadata", "status", "kind", "apiVersion")


@dataclass(frozen=True, slots=True)
class Place:
    """A path, taken apart."""

    collection: str
    """Group, version and plural."""
    namespace: str
    name: str
    subresource: str

    @classmethod
    def of(cls, path: str) -> Place:
        parts = path.strip("/").split("/")
        group, rest = ("/".join(parts[:3]), parts[3:]) if parts[0] == "apis" else ("/".join(parts[:2]), parts[2:])
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        rest = [*rest, "", ""]
        return cls(f"{group}/{rest[0]}", namespace, rest[1], rest[2])

    @property
    def key(self) -> tuple[str, str, str]:
        return self.collection, self.namespace, self.name


@dataclass(frozen=True, slots=True)
class Change:
    """One revision: an object before and after; None where there was or is none."""

    revision: int
    collection: str
    before: Document | None
    after: Document | None


class Refused(Exception):
    def __init__(self, code: int, reason: str, message: str, **extra: Any) -> None:
        super().__init__(message)
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code}
        self.reply = Reply(
            status=code, body=json.dumps({**status, "reason": reason, "message": message, **extra}).encode()
        )


@dataclass
class FakeApi:
    """The server's state. `changed` is called after each revision."""

    with_status: frozenset[str] = frozenset({"probes", "nodestates", "kernelprograms", "userprograms"})
    """Plurals whose status is a subresource."""
    refuse: Callable[[str, Request], bool] = lambda _who, _request: False
    revision: int = 100
    compacted: int = 0
    objects: dict[tuple[str, str, str], Document] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    changed: list[Callable[[Change], None]] = field(default_factory=list)
    writes: list[tuple[str, Request, int]] = field(default_factory=list)
    """Who asked for what change, and the revision it made; refused ones are not here."""
    _rests: dict[str, tuple[int, list[Document]]] = field(default_factory=dict)

    def answer(self, who: str, request: Request) -> Reply:
        """Do what is asked."""
        place = Place.of(request.path)
        try:
            if self.refuse(who, request):
                raise Refused(403, "Forbidden", f"{place.collection} is forbidden: User {who} cannot {request.method}")
            before = self.revision
            done = self._done(place, request)
            if self.revision > before:
                self.writes.append((who, request, self.revision))
        except Refused as refused:
            return refused.reply
        return Reply(status=201 if request.method == "POST" else 200, body=json.dumps(done).encode())

    def compact(self) -> None:
        """Forget all history: older watches and chunks of lists are refused."""
        self.compacted = self.revision
        self.changes.clear()
        self._rests.clear()

    def refused_watch(self, revision: int) -> Reply | None:
        """Answer what a watch from too old a revision is told."""
        if revision >= self.compacted:
            return None
        return Refused(410, "Expired", f"too old resource version: {revision} ({self.compacted})").reply

    def _done(self, place: Place, request: Request) -> Document:
        match request.method:
            case "GET":
                return self._get(place) if place.name else self._list(place, dict(request.query))
            case "POST":
                return self._create(place, json.loads(request.body or b""))
            case "PUT":
                return self._update(place, json.loads(request.body or b""))
            case "PATCH":
                merged = _merged(self._get(place), json.loads(request.body or b""))
                return self._update(place, merged)
            case "DELETE":
                return self._delete(place, json.loads(request.body or b"{}"))
            case other:
                raise Refused(405, "MethodNotAllowed", f"the server does not allow {other} on the requested resource")

    def _get(self, place: Place) -> Document:
        if (found := self.objects.get(place.key)) is None:
            raise Refused(404, "NotFound", f'{place.collection} "{place.name}" not found')
        return copy.deepcopy(found)

    def _list(self, place: Place, query: dict[str, str]) -> Document:
        if token := query.get("continue"):
            if token not in self._rests:
                raise Refused(410, "Expired", "The provided continue parameter is too old")
            revision, found = self._rests.pop(token)
        else:
            mine = sorted((key, item) for key, item in self.objects.items() if key[0] == place.collection)
            found = [item for key, item in mine if place.namespace in ("", key[1]) and selected(item, query)]
            revision = self.revision
        limit = int(query.get("limit", "0")) or len(found)
        metadata: Document = {"resourceVersion": str(revision)}
        if found[limit:]:
            metadata["continue"] = uuid.uuid4().hex
            self._rests[metadata["continue"]] = revision, found[limit:]
        return {"kind": "List", "metadata": metadata, "items": copy.deepcopy(found[:limit])}

    def _create(self, place: Place, document: Document) -> Document:
        metadata = document["metadata"]
        if metadata.get("resourceVersion"):
            raise Refused(400, "BadRequest", "resourceVersion should not be set on objects to be created")
        name = metadata.get("name") or metadata["generateName"] + uuid.uuid4().hex[:5]
        place = Place(place.collection, place.namespace, name, "")
        if place.key in self.objects:
            raise Refused(409, "AlreadyExists", f'{place.collection} "{name}" already exists')
        metadata |= {"name": name, "uid": str(uuid.uuid4()), "generation": 1}
        if place.namespace:
            metadata["namespace"] = place.namespace
        if self._splits(place):
            document.pop("status", None)
        return self._keep(place, None, document)

    def _update(self, place: Place, document: Document) -> Document:
        before = self._get(place)
        given = document["metadata"].get("resourceVersion")
        if given and given != before["metadata"]["resourceVersion"]:
            raise Refused(
                409, "Conflict", f'Operation cannot be fulfilled on "{place.name}": the object has been modified'
            )
        if place.subresource == "status":
            document = {**copy.deepcopy(before), "status": document.get("status")}
        elif self._splits(place):
            document["status"] = before.get("status")
        after = {name: value for name, value in document.items() if value is not None}
        after["metadata"] = {**after["metadata"], **{key: before["metadata"][key] for key in ("uid", "generation")}}
        if any(after.get(name) != before.get(name) for name in {*after, *before} - set(NAMELESS)):
            after["metadata"]["generation"] += 1
        if "deletionTimestamp" in before["metadata"] and not after["metadata"].get("finalizers"):
            return self._keep(place, before, None)
        after["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]
        return before if after == before else self._keep(place, before, after)

    def _delete(self, place: Place, options: Document) -> Document:
        before = self._get(place)
        for name, wanted in (options.get("preconditions") or {}).items():
            if before["metadata"][name] != wanted:
                raise Refused(409, "Conflict", f"the {name} in the precondition does not match")
        if not before["metadata"].get("finalizers"):
            return self._keep(place, before, None)
        after = copy.deepcopy(before)
        after["metadata"].setdefault("deletionTimestamp", "2026-01-01T00:00:00Z")
        return before if after == before else self._keep(place, before, after)

    def _keep(self, place: Place, before: Document | None, after: Document | None) -> Document:
        self.revision += 1
        told = copy.deepcopy(before if after is None else after)
        assert told is not None
        told["metadata"]["resourceVersion"] = str(self.revision)
        if after is None:
            del self.objects[place.key]
        else:
            self.objects[place.key] = told
        change = Change(self.revision, place.collection, before if after else told, told if after else None)
        self.changes.append(change)
        for listener in tuple(self.changed):
            listener(change)
        return copy.deepcopy(told)

    def _splits(self, place: Place) -> bool:
        return place.collection.rpartition("/")[2] in self.with_status


def selected(item: Document, query: dict[str, str]) -> bool:
    """Whether an object is in a selection by labels and fields (equality alone)."""
    labels = item["metadata"].get("labels") or {}
    for term in filter(None, query.get("labelSelector", "").split(",")):
        name, equals, value = term.partition("=")
        if name not in labels or (equals and labels[name] != value.removeprefix("=")):
            return False
    for term in filter(None, query.get("fieldSelector", "").split(",")):
        path, _, value = term.partition("=")
        found: Any = item
        for step in path.split("."):
            found = found.get(step, "") if isinstance(found, dict) else ""
        if found != value.removeprefix("="):
            return False
    return True


def _merged(target: Any, change: Any) -> Any:
    """RFC 7396."""
    if not isinstance(change, dict):
        return change
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in change.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merged(result.get(name), value)
    return result
