"""Docker's config files and Kubernetes pull secrets: who we are at which registry.

A file on this machine may name credential helpers. A pull secret may not: its author is no administrator here, and a
helper is a program that runs.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from conductor.errors import ConductorError, InvalidSpec
from conductor.model.image import Credentials
from conductor.oci.documents import json_object

__all__ = ["MOST_BYTES", "DockerConfig"]

MOST_BYTES = 1 << 20
HUB = "docker.io"
_HUB_KEYS = {"docker.io", "index.docker.io", "registry-1.docker.io"}
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MOST_ENTRIES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerConfig:
    """Credentials by place, and the helpers that know more. Nothing of it is in `repr`."""

    stored: Mapping[str, Credentials] = field(default_factory=dict, repr=False)
    """By host, or host and path; a label of a host may be `*`."""
    helpers: Mapping[str, str] = field(default_factory=dict)
    """Name of the helper (`docker-credential-NAME`) by host."""
    store: str = ""
    """Helper for every other host."""

    @classmethod
    def parse(cls, body: bytes, *, where: str) -> Self:
        """Read `config.json` of docker, podman or a `.dockerconfigjson`. Raises `InvalidSpec`; no value is repeated."""
        raw = _object(body, where)
        helpers = {_place(key): _helper(name, where) for key, name in _table(raw, "credHelpers", where).items()}
        return cls(
            stored=_stored(_table(raw, "auths", where), where),
            helpers=helpers,
            store=_helper(raw["credsStore"], where) if raw.get("credsStore") else "",
        )

    @classmethod
    def pull_secret(cls, data: Mapping[str, bytes], *, where: str) -> Self:
        """Read the decoded data of a Kubernetes Secret: `.dockerconfigjson`, or the older `.dockercfg`.

        Helpers named in there are left out. Raises `InvalidSpec`.
        """
        if (body := data.get(".dockerconfigjson")) is not None:
            return cls(stored=_stored(_table(_object(body, where), "auths", where), where))
        if (body := data.get(".dockercfg")) is not None:
            return cls(stored=_stored(_object(body, where), where))
        raise InvalidSpec(
            where, "holds neither .dockerconfigjson nor .dockercfg: make it by kubectl create secret docker-registry"
        )

    def find(self, name: str) -> Credentials | None:
        """Answer what is stored for registry and repository (`Reference.name`), the most particular entry first."""
        fitting = [(place.count("/"), len(place), place) for place in self.stored if _fits(place, name)]
        return self.stored[max(fitting)[2]] if fitting else None

    def helper(self, name: str) -> str:
        """Name the helper that knows the registry of `name`; empty: none."""
        host = name.partition("/")[0]
        return self.helpers.get(host, self.store)


def _object(body: bytes, where: str) -> Mapping[str, Any]:
    try:
        return json_object(body, "the file", MOST_BYTES)
    except ConductorError as exc:
        raise InvalidSpec(where, f"is no docker config: {exc}") from None


def _table(raw: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    found = raw.get(key) or {}
    if not isinstance(found, dict) or len(found) > _MOST_ENTRIES:
        raise InvalidSpec(where, f"{key} must be an object of at most {_MOST_ENTRIES} entries")
    return found


def _helper(name: object, where: str) -> str:
    if not isinstance(name, str) or not _HELPER.fullmatch(name):
        raise InvalidSpec(where, "a credential helper's name has letters, digits, - _ and . only")
    return name


def _stored(auths: Mapping[str, Any], where: str) -> dict[str, Credentials]:
    found = {}
    for key, entry in auths.items():
        if not isinstance(entry, dict):
            raise InvalidSpec(where, f"the entry of {_place(key)[:100]} must be an object")
        if credentials := _credentials(entry, where, _place(key)[:100]):
            found[_place(key)] = credentials
    return found


def _credentials(entry: Mapping[str, Any], where: str, place: str) -> Credentials | None:
    texts = {key: entry.get(key) or "" for key in ("auth", "username", "password", "identitytoken")}
    if not all(isinstance(value, str) for value in texts.values()):
        raise InvalidSpec(where, f"the entry of {place} must hold texts")
    if texts["identitytoken"]:
        return Credentials("<token>", texts["identitytoken"])
    if texts["auth"]:
        try:
            name, colon, password = base64.b64decode(texts["auth"], validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            colon = ""
        if not colon:
            raise InvalidSpec(where, f"auth of {place} is not base64 of NAME:PASSWORD")
        return Credentials(name, password.rstrip("\0"))
    return Credentials(texts["username"], texts["password"]) if texts["username"] else None


def _place(key: str) -> str:
    """Bring what tools write as keys (`https://index.docker.io/v1/`) to host and path."""
    host, _, path = key.strip().rpartition("://")[2].partition("/")
    host = HUB if host.lower() in _HUB_KEYS else host.lower()
    path = re.sub(r"^v[12](/|$)", "", path).strip("/")
    return f"{host}/{path}" if path else host


def _fits(place: str, name: str) -> bool:
    host, _, path = place.partition("/")
    own, _, repository = name.partition("/")
    return _hosts_fit(host, own) and (not path or repository == path or repository.startswith(f"{path}/"))


def _hosts_fit(pattern: str, host: str) -> bool:
    if "*" not in pattern:
        return pattern == host
    # As kubelet does: a star stands for one label, never for dots.
    pairs = list(_zipped(pattern.split("."), host.split(".")))
    return all(fnmatch.fnmatchcase(label, part) for part, label in pairs)


def _zipped(parts: list[str], labels: list[str]) -> Iterator[tuple[str, str]]:
    if len(parts) != len(labels):
        yield "", "-"
        return
    yield from zip(parts, labels, strict=True)
