"""One HTTP request to one host: TLS, proxies, redirects that lose their credentials, foreign errors made ours."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import aiohttp
from yarl import URL

from conductor.errors import InvalidConfig, RegistryAway, RegistryRefused
from conductor.oci.limits import RegistryLimits
from conductor.oci.persistence import Unsteady
from conductor.oci.registries import RegistriesConfig, is_loopback

__all__ = ["Body", "Wire", "origin_of", "spend", "steady"]

Body = Callable[[], AsyncIterator[bytes]]
"""Makes the body anew for each try."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_HOPS = 5
_MOST_SPENT = 64 << 10
AGENT = "ebpfconductor"


class Wire:
    """Send single requests; knows hosts, not registries."""

    def __init__(
        self, *, trust: Mapping[str, ssl.SSLContext], registries: RegistriesConfig, limits: RegistryLimits
    ) -> None:
        self._trust, self._registries, self._limits = trust, registries, limits
        self._connections: aiohttp.ClientSession | None = None

    @classmethod
    @asynccontextmanager
    async def opened(cls, *, registries: RegistriesConfig, limits: RegistryLimits) -> AsyncIterator[Wire]:
        """Own the connections. Raises `InvalidConfig` with every file that cannot be read."""
        trust = await asyncio.to_thread(_read_files, registries)
        wire = cls(trust=trust, registries=registries, limits=limits)
        try:
            yield wire
        finally:
            if wire._connections is not None:
                await wire._connections.close()

    @asynccontextmanager
    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str], authorization: str = "", body: Body | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request; GET and HEAD follow redirects, without `authorization` once the host is another.

        Raises `Unsteady`, `RegistryAway`, `RegistryRefused` (a redirect to plain http).
        """
        target, secret = URL(url, encoded=True), authorization
        for _ in range(_MOST_HOPS + 1):
            async with _ended(await self._one(method, target, headers, secret, body)) as response:
                following = _next(method, target, response)
                if following is None:
                    yield response
                    return
                await spend(response)
            self._check_hop(target, following)
            if origin_of(following) != origin_of(URL(url, encoded=True)):
                secret = ""
            target = following
        raise RegistryAway(f"{_host(URL(url, encoded=True))} redirects more than {_MOST_HOPS} times")

    async def _one(
        self, method: str, url: URL, headers: Mapping[str, str], secret: str, body: Body | None
    ) -> aiohttp.ClientResponse:
        host = _host(url)
        options: dict[str, Any] = {"proxy": self._registries.proxy(host, plain=url.scheme == "http") or None}
        if (trust := self._trust.get(host)) is not None:
            options["ssl"] = trust
        sent = {**headers, "Authorization": secret} if secret else dict(headers)
        with steady(host, self._limits):
            return await self._session.request(
                method, url, headers=sent, data=body() if body else None, allow_redirects=False, **options
            )

    @property
    def _session(self) -> aiohttp.ClientSession:
        """The connections, made for the first request: an agent without images never loads aiohttp's client."""
        if self._connections is None:
            limits = self._limits
            self._connections = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=limits.connections, limit_per_host=limits.connections_per_host),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=limits.connect, sock_read=limits.stall),
                headers={"User-Agent": AGENT, "Accept-Encoding": "identity"},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,  # digests are of the bytes as they come
                read_bufsize=1 << 18,
            )
        return self._connections

    def _check_hop(self, here: URL, there: URL) -> None:
        """Refuse a redirect that leaves TLS, unless the administrator named that host, or all stays on this machine."""
        if there.scheme == "https" or (there.scheme == "http" and self._registries.names_plain(_host(there))):
            return
        at_home = here.scheme == "http" and is_loopback(_host(here)) and is_loopback(_host(there))
        if there.scheme != "http" or not at_home:
            raise RegistryRefused(f"{_host(here)} redirects to {there.scheme}://{_host(there)}, which is not encrypted")


@asynccontextmanager
async def _ended(response: aiohttp.ClientResponse) -> AsyncIterator[aiohttp.ClientResponse]:
    """Leave nothing of an answer behind: the polite end of TLS would outlive our session, so what is unread is cut."""
    try:
        yield response
    finally:
        left = response.connection  # none once the answer was read whole: then it serves the next call
        if left is not None and left.transport is not None:
            left.transport.abort()
        response.close()


async def spend(response: aiohttp.ClientResponse) -> None:
    """Read what is left of a small answer, so that its connection serves the next call."""
    with suppress(aiohttp.ClientError, OSError, TimeoutError):
        left = _MOST_SPENT
        while left > 0 and (piece := await response.content.read(left)):
            left -= len(piece)


@contextmanager
def steady(host: str, limits: RegistryLimits) -> Iterator[None]:
    """Turn errors of the HTTP library into ours. URLs stay out of the sentences: signed ones are secrets."""
    try:
        yield
    except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError) as exc:
        raise RegistryAway(f"{host}: {_tls(exc)}") from None
    except aiohttp.ClientConnectorDNSError:
        raise Unsteady(f"{host}: its name cannot be resolved") from None
    except aiohttp.ClientProxyConnectionError as exc:
        raise Unsteady(f"{host}: its proxy cannot be reached: {exc.os_error.strerror}") from None
    except aiohttp.ClientHttpProxyError as exc:
        raise RegistryAway(f"{host}: its proxy answers {exc.status}; correct `proxy` or HTTPS_PROXY") from None
    except aiohttp.ClientConnectorError as exc:
        raise Unsteady(f"{host} cannot be reached: {exc.os_error.strerror or type(exc.os_error).__name__}") from None
    except TimeoutError:
        raise Unsteady(f"{host} was silent for {limits.stall:.0f} s (connecting: {limits.connect:.0f} s)") from None
    except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, OSError):
        raise Unsteady(f"{host} closed the connection before its answer was complete") from None
    except (aiohttp.ClientError, ValueError) as exc:
        raise RegistryAway(f"{host} answers nothing that HTTP allows ({type(exc).__name__})") from None


def _tls(exc: aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError) -> str:
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        cause = getattr(exc.certificate_error, "verify_message", "") or "not trusted"
        return f"its certificate is refused ({cause}); name its authority by `ca` in the registries file"
    reason = getattr(exc.os_error, "reason", None) or "no TLS"
    return f"TLS failed ({reason}); if it has none, set plain_http = true for it in the registries file"


def origin_of(url: URL) -> tuple[str, str, int | None]:
    """Scheme, host and port: what credentials belong to."""
    return url.scheme, (url.host or "").lower(), url.port


def _host(url: URL) -> str:
    """Host as the settings name it: with its port where that is not the scheme's own."""
    host = f"[{url.host}]" if url.host and ":" in url.host else (url.host or "")
    return host if url.is_default_port() or url.port is None else f"{host}:{url.port}"


def _next(method: str, here: URL, response: aiohttp.ClientResponse) -> URL | None:
    if method not in {"GET", "HEAD"} or response.status not in _REDIRECTS or "Location" not in response.headers:
        return None
    try:
        # Encoded as it came: a signature covers the very spelling.
        found = here.join(URL(response.headers["Location"], encoded=True))
        found = found.with_user(None) if found.raw_user else found
    except ValueError:
        raise RegistryAway(f"{_host(here)} redirects to something that is no address") from None
    if found.scheme not in {"http", "https"} or not found.host:
        raise RegistryAway(f"{_host(here)} redirects to something that is no http address")
    return found


def _read_files(registries: RegistriesConfig) -> dict[str, ssl.SSLContext]:
    """Read every file that the settings name once, so that all mistakes are told at the start."""
    problems: list[tuple[str, str]] = []
    for place, path in registries.files():
        try:
            with path.open("rb") as file:
                file.read(1)
        except OSError as exc:
            problems.append((place, f"{path} cannot be read: {exc.strerror}"))
    trust = {}
    for host, entry in registries.entries.items():
        if entry.ca is None or any(str(entry.ca) in problem for _, problem in problems):
            continue
        try:
            trust[host] = ssl.create_default_context()
            trust[host].load_verify_locations(cafile=entry.ca)
        except (ssl.SSLError, OSError):
            problems.append((f'registry."{host}".ca', f"{entry.ca} holds no certificate in PEM form"))
    if problems:
        raise InvalidConfig(tuple(problems))
    return trust
