"""The registries file (`--registries`): mirrors, certificates, credentials and proxies by host or prefix.

Host settings (`ca`, `plain_http`, `proxy`) belong to a host, be it a registry, a mirror, a token server or where blobs
are redirected to; `mirrors`, `mirror_tags` and `auth` to any prefix, the longest that sets one deciding.
"""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from conductor.errors import InvalidConfig
from conductor.model.image import Reference
from conductor.oci.proxies import Proxies
from conductor.oci.registry_entries import Entry, read_entries

__all__ = ["Endpoint", "RegistriesConfig", "is_loopback"]

_ADDRESS_OF = {"docker.io": "registry-1.docker.io"}
"""Names whose registry answers elsewhere."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One place where a repository may be asked for."""

    name: str
    """Registry as people write it: what credentials are looked up by."""
    repository: str
    host: str
    """What is connected to, with its port."""
    plain: bool
    mirror: bool = False

    @property
    def origin(self) -> str:
        """Scheme and host."""
        return f"{'http' if self.plain else 'https'}://{self.host}"

    @property
    def root(self) -> str:
        """Where the repository's calls begin."""
        return f"{self.origin}/v2/{self.repository}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistriesConfig:
    """What was configured, checked; files that it names are read by whoever needs them."""

    entries: Mapping[str, Entry] = field(default_factory=dict)
    """By host, or host and path."""
    auth: Path | None = field(default=None, repr=False)
    """Docker config file for registries that have none of their own."""
    proxies: Proxies = field(default_factory=Proxies)

    @classmethod
    def parse(cls, text: str, *, where: str, environ: Mapping[str, str]) -> Self:
        """Read the TOML text of the file `where`; proxies not set there come from `environ`.

        Raises `InvalidConfig` with every bad field.
        """
        try:
            raw: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as exc:
            raise InvalidConfig(((where, f"is no TOML: {exc}"),)) from None
        entries, auth, problems = read_entries(raw)
        proxies, of_environ = Proxies.parse(environ)
        problems = [(f"{where}: {place}", problem) for place, problem in problems] + of_environ
        if problems:
            raise InvalidConfig(tuple(problems))
        return cls(entries=entries, auth=auth, proxies=proxies)

    @classmethod
    def read(cls, path: Path | None, *, environ: Mapping[str, str]) -> Self:
        """Read the file, or take what the environment alone says. Raises `InvalidConfig`."""
        if path is None:
            return cls.parse("", where="", environ=environ)
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as exc:
            raise InvalidConfig((("--registries", f"{path} cannot be read: {_why(exc)}"),)) from None
        return cls.parse(text, where=str(path), environ=environ)

    def endpoints(self, reference: Reference, *, direct: bool = False) -> tuple[Endpoint, ...]:
        """List where to ask, mirrors first; `direct` leaves them out, as does a tag that only upstream resolves."""
        mirrors: tuple[Endpoint, ...] = ()
        if not direct and (reference.digest or self._setting(reference.name, "mirror_tags") is not False):
            mirrors = tuple(self._mirrors(reference))
        return (*mirrors, self._endpoint(reference.registry, reference.repository))

    def _mirrors(self, reference: Reference) -> Iterator[Endpoint]:
        for prefix, entry in self._matching(reference.name):
            if entry.mirrors is None:
                continue
            for mirror in entry.mirrors:
                place = f"{mirror}{reference.name.removeprefix(prefix)}"
                host, _, repository = place.partition("/")
                yield self._endpoint(host, repository, mirror=True)
            return

    def _endpoint(self, name: str, repository: str, *, mirror: bool = False) -> Endpoint:
        host = _ADDRESS_OF.get(name, name)
        return Endpoint(name, repository, host, self.allows_plain(host), mirror)

    def allows_plain(self, host: str) -> bool:
        """Whether a host is spoken to without TLS: as its entry says, else loopback unless it has a CA."""
        entry = self.entries.get(host) or Entry()
        if entry.plain_http is not None:
            return entry.plain_http
        return is_loopback(host) and entry.ca is None

    def names_plain(self, host: str) -> bool:
        """Whether the administrator named this host as one without TLS."""
        return bool((self.entries.get(host) or Entry()).plain_http)

    def ca(self, host: str) -> Path | None:
        """Certificates that vouch for a host beside the system's."""
        return (self.entries.get(host) or Entry()).ca

    def proxy(self, host: str, *, plain: bool) -> str:
        """Proxy on the way to a host; empty: none."""
        entry = self.entries.get(host) or Entry()
        return self.proxies.of(host, plain=plain) if entry.proxy is None else entry.proxy

    def auth_file(self, endpoint: Endpoint) -> Path | None:
        """Docker config file that holds the credentials of an endpoint."""
        found = self._setting(f"{endpoint.name}/{endpoint.repository}", "auth")
        return found if isinstance(found, Path) else self.auth

    def files(self) -> Iterator[tuple[str, Path]]:
        """Tell every file that the settings name, with the place that names it."""
        if self.auth:
            yield "auth", self.auth
        for name, entry in self.entries.items():
            for key, path in (("ca", entry.ca), ("auth", entry.auth)):
                if path:
                    yield f'registry."{name}".{key}', path

    def _setting(self, name: str, key: str) -> object:
        return next((v for _, entry in self._matching(name) if (v := getattr(entry, key)) is not None), None)

    def _matching(self, name: str) -> Iterator[tuple[str, Entry]]:
        """Tell entries that hold for a name, the most particular first."""
        while name:
            if name in self.entries:
                yield name, self.entries[name]
            name = name.rpartition("/")[0]


def is_loopback(host: str) -> bool:
    """Whether a host, with or without port, is this machine by its very name."""
    bare = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    try:
        return bare == "localhost" or ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


def _why(exc: OSError | UnicodeDecodeError) -> str:
    return (exc.strerror or type(exc).__name__) if isinstance(exc, OSError) else "it is no UTF-8"
