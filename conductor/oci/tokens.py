"""Bearer tokens: fetched from the token server that a registry names (distribution-spec, token authentication)."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from yarl import URL

from conductor.errors import RegistryAway, RegistryRefused
from conductor.model.image import Credentials
from conductor.oci.challenges import Challenge
from conductor.oci.documents import json_object
from conductor.oci.limits import RegistryLimits
from conductor.oci.persistence import Unsteady
from conductor.oci.registries import Endpoint, RegistriesConfig, is_loopback
from conductor.oci.wire import AGENT, Wire, steady

__all__ = ["Token", "TokenServer", "basic"]

_MOST_BYTES = 256 << 10
_DEFAULT_SECONDS, _LONGEST_SECONDS = 60.0, 3600.0


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token and for how long it is good, in seconds from now."""

    value: str = field(repr=False)
    seconds: float


class TokenServer:
    """Exchange credentials, or none, for tokens of one scope."""

    def __init__(self, *, wire: Wire, registries: RegistriesConfig, limits: RegistryLimits) -> None:
        self._wire = wire
        self._registries = registries
        self._limits = limits

    async def token(
        self, endpoint: Endpoint, challenge: Challenge, scope: str, credentials: Credentials | None
    ) -> Token:
        """Fetch a token. Raises `RegistryRefused`, `Unsteady`, `RegistryAway`."""
        realm = self._realm(endpoint, challenge)
        asked = {"service": challenge.parameters.get("service", ""), "scope": scope}
        asked = {key: value for key, value in asked.items() if value}
        if credentials and credentials.is_identity_token:
            form = {**asked, "grant_type": "refresh_token", "client_id": AGENT, "refresh_token": credentials.password}
            return await self._fetch("POST", str(realm), endpoint, form=form)
        url = str(realm.extend_query(asked))
        return await self._fetch("GET", url, endpoint, authorization=basic(credentials) if credentials else "")

    def _realm(self, endpoint: Endpoint, challenge: Challenge) -> URL:
        try:
            realm = URL(challenge.parameters["realm"])
            host = realm.host or ""
            shown = host if realm.is_default_port() else f"{host}:{realm.port}"
        except (KeyError, ValueError):
            raise RegistryAway(f"{endpoint.name}: its 401 names no token server that can be read") from None
        if realm.scheme not in {"http", "https"} or not host or realm.user is not None:
            raise RegistryAway(f"{endpoint.name}: its 401 names no token server that can be read")
        if realm.scheme == "http" and not self._may_be_plain(endpoint, shown):
            raise RegistryRefused(f"{endpoint.name}: its token server {shown} is not encrypted: nothing is sent there")
        return realm.with_fragment(None)

    def _may_be_plain(self, endpoint: Endpoint, host: str) -> bool:
        if self._registries.names_plain(host):
            return True
        return endpoint.plain and (host == endpoint.host or (is_loopback(host) and is_loopback(endpoint.host)))

    async def _fetch(
        self,
        method: str,
        url: str,
        endpoint: Endpoint,
        *,
        authorization: str = "",
        form: Mapping[str, str] | None = None,
    ) -> Token:
        headers, body = {"Accept": "application/json"}, None
        if form is not None:
            encoded = urlencode(form).encode()
            headers |= {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": str(len(encoded))}

            async def body() -> AsyncIterator[bytes]:
                yield encoded

        async with self._wire.send(method, url, headers=headers, authorization=authorization, body=body) as response:
            host = response.url.host or ""
            with steady(host, self._limits):
                raw = await response.content.read(_MOST_BYTES + 1) if response.status == 200 else b""
                while (
                    response.status == 200
                    and len(raw) <= _MOST_BYTES
                    and (more := await response.content.read(_MOST_BYTES))
                ):
                    raw += more
            status = response.status
        if status == 429 or status >= 500:
            raise Unsteady(f"{endpoint.name}: its token server {host} answers {status}")
        if status != 200:
            raise RegistryRefused(_refusal(endpoint, host, status, shown=bool(authorization or form)))
        return _token(raw, endpoint, host)


def basic(credentials: Credentials) -> str:
    """Credentials as the scheme Basic sends them."""
    return f"Basic {base64.b64encode(f'{credentials.username}:{credentials.password}'.encode()).decode()}"


def _refusal(endpoint: Endpoint, host: str, status: int, *, shown: bool) -> str:
    why = "does not accept the credentials it was shown" if shown else "wants credentials, and none are configured"
    return f"{endpoint.name}: its token server {host} answers {status}: it {why} ({endpoint.repository})"


def _token(raw: bytes, endpoint: Endpoint, host: str) -> Token:
    found = json_object(raw, f"{endpoint.name}: the answer of its token server {host}", _MOST_BYTES)
    value = found.get("token") or found.get("access_token")
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or " " in value:
        raise RegistryAway(f"{endpoint.name}: its token server {host} answers without a token")
    seconds = found.get("expires_in")
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not seconds > 0:
        seconds = _DEFAULT_SECONDS
    return Token(value, min(float(seconds), _LONGEST_SECONDS))
