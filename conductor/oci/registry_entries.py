"""Entries of the registries file: parsed once, every bad field told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from conductor.errors import InvalidSpec
from conductor.model.image import Reference

__all__ = ["SETTINGS", "Entry", "Problems", "proxy_of", "read_entries"]

Problems = list[tuple[str, str]]
_OF_HOSTS = {"ca", "plain_http", "proxy"}
_MOST_MIRRORS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Settings of one registry or prefix; None is not set there."""

    mirrors: tuple[str, ...] | None = None
    mirror_tags: bool | None = None
    """Whether mirrors may say what a tag is; a digest they cannot change."""
    auth: Path | None = field(default=None, repr=False)
    ca: Path | None = None
    plain_http: bool | None = None
    proxy: str | None = field(default=None, repr=False)
    """May hold a password; empty: none, whatever the environment says."""


def read_entries(raw: Mapping[str, Any]) -> tuple[dict[str, Entry], Path | None, Problems]:
    """Read the file's tables: entries by name, the default `auth`, and what is wrong."""
    problems: Problems = [(key, "no such setting: registry, auth") for key in raw if key not in {"registry", "auth"}]
    auth = _value("auth", raw.get("auth"), _path, problems)
    tables = raw.get("registry", {})
    if not isinstance(tables, dict):
        return {}, auth, [*problems, ("registry", 'must be tables such as [registry."ghcr.io"]')]
    entries: dict[str, Entry] = {}
    for written, table in tables.items():
        place = f'registry."{written}"'
        try:
            name = _name(written)
        except ValueError as exc:
            problems.append((place, str(exc)))
            continue
        if name in entries:
            problems.append((place, f"{name} is there twice"))
        elif not isinstance(table, dict):
            problems.append((place, "must be a table"))
        else:
            entries[name] = _entry(place, table, problems, below_host="/" in name)
    return entries, auth, problems


def _entry(place: str, table: Mapping[str, Any], problems: Problems, *, below_host: bool) -> Entry:
    values: dict[str, Any] = {}
    for key, raw in table.items():
        at = f"{place}.{key}"
        if key not in _PARSERS:
            problems.append((at, f"no such setting: {', '.join(_PARSERS)}"))
        elif below_host and key in _OF_HOSTS:
            problems.append((at, "belongs to a host; set it in the entry of the host alone"))
        else:
            values[key] = _value(at, raw, _PARSERS[key], problems)
    return Entry(**values)


def _value(at: str, raw: object, parse: Callable[[Any], Any], problems: Problems) -> Any:
    if raw is None:
        return None
    try:
        return parse(raw)
    except ValueError as exc:
        problems.append((at, str(exc)))
        return None


def _name(written: object) -> str:
    """Read HOST[:PORT][/PATH] as references spell it."""
    text = str(written).rstrip("/")
    if "://" in text or "@" in text or ":" in text.partition("/")[2]:
        raise ValueError("write a host, or host and path, without scheme and tag: ghcr.io, registry.example:5000/team")
    try:
        # A host alone is no reference; any repository makes it one.
        host, _, path = text.partition("/")
        if host != "localhost" and not any(mark in host for mark in ".:"):
            raise ValueError(f"{host!r} is no host of a registry: it needs a dot or a port")
        found = Reference.parse(f"{host}/x/{path}" if path else f"{host}/x/x")
    except InvalidSpec as exc:
        raise ValueError(exc.problem) from None
    return f"{found.registry}/{found.repository[2:]}" if path else found.registry


def _mirrors(raw: object) -> tuple[str, ...]:
    if not isinstance(raw, list) or len(raw) > _MOST_MIRRORS or not all(isinstance(item, str) for item in raw):
        raise ValueError(f"must be a list of at most {_MOST_MIRRORS} hosts")
    return tuple(_name(item) for item in raw)


def _path(raw: object) -> Path:
    if not isinstance(raw, str) or not raw.startswith("/") or "\0" in raw:
        raise ValueError("must be the absolute path of a file")
    return Path(raw)


def _switch(raw: object) -> bool:
    if not isinstance(raw, bool):
        raise ValueError("must be true or false")  # noqa: TRY004 - one class for all bad values
    return raw


def proxy_of(raw: object) -> str:
    """Read http(s)://[USER:PASSWORD@]HOST[:PORT]; empty is none. The value is not repeated: it may hold a password."""
    if raw == "":
        return ""
    try:
        parts = urlsplit(raw if isinstance(raw, str) and "://" in raw else f"http://{raw}")
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good or not isinstance(raw, str) or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("must be http://HOST:PORT, or empty for none")
    return parts._replace(path="").geturl()


_PARSERS: dict[str, Callable[[Any], Any]] = {
    "mirrors": _mirrors,
    "mirror_tags": _switch,
    "auth": _path,
    "ca": _path,
    "plain_http": _switch,
    "proxy": proxy_of,
}
SETTINGS = tuple(_PARSERS)
"""What an entry may hold."""
