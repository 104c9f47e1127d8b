"""A registry in memory, on loopback: what the client is held to without installing one.

It models the pull, push and referrers parts of the OCI distribution spec 1.1: manifests by tag and digest, blobs with
ranges, uploads at once and in parts, token and basic authentication, redirects of blobs to a second host. `Faults` make
it cut, drip, lie and refuse. It does not model: deletion, catalogues, mounts between repositories, garbage collection,
what real registries check of a manifest. The contract suite (tests/oci/registry) runs against it and two real ones;
behaviour that is new here must be seen at one of those first.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

__all__ = ["FakeRegistry", "Faults", "Seen", "digest_of"]

_INDEX = "application/vnd.oci.image.index.v1+json"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def digest_of(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


@dataclass
class Faults:
    """What goes wrong; each counts down where it is a number of times."""

    statuses: list[int] = field(default_factory=list)
    """Answers given instead of the next ones of manifests and blobs."""
    retry_after: str = ""
    cut_at: list[int] = field(default_factory=list)
    """Bytes of the next blob answers after which the connection is closed."""
    drip: float = 0.0
    """Seconds between pieces of 64 bytes of a blob."""
    silent: float = 0.0
    """Seconds before any answer to a blob."""
    no_ranges: bool = False
    refuses_ranges: bool = False
    wrong_bytes: bool = False
    wrong_length: int = 0
    wrong_digest_header: str = ""
    huge_manifest: int = 0
    """Bytes of a manifest that is sent without a length."""
    no_head: bool = False
    redirect_to: str = ""
    """Origin that serves blobs in our stead."""
    cut_uploads: int = 0
    """Times that the second half of an upload's part is not taken."""
    stored_digest: str = ""
    """What is told to have been stored."""


@dataclass(frozen=True)
class Seen:
    """One request as it came."""

    method: str
    path: str
    authorization: str
    range: str


@dataclass
class FakeRegistry:
    """The registry's state and its wishes for callers. `users` empty: open to everybody."""

    users: Mapping[str, str] = field(default_factory=dict)
    tokens: bool = False
    """Bearer tokens rather than Basic."""
    refresh_token: str = ""
    token_seconds: int = 300
    anonymous_pull: bool = False
    referrers_api: bool = True
    realm: str = ""
    """Told instead of our own token server."""
    faults: Faults = field(default_factory=Faults)
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    """By repository and tag or digest."""
    seen: list[Seen] = field(default_factory=list)
    tls: ssl.SSLContext | None = None
    address: str = ""
    """HOST:PORT."""
    issued: dict[str, tuple[str, float]] = field(default_factory=dict)
    uploads: dict[str, bytearray] = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def serving(cls, *, listening: socket.socket | None = None, **wishes: Any) -> AsyncIterator[FakeRegistry]:
        """Serve on a free port of 127.0.0.1, or on a socket that listens already (in another network, say)."""
        registry = cls(**wishes)
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/token", registry._token)
        app.router.add_route("*", "/{path:.*}", registry._any)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site: web.BaseSite = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=registry.tls)
            if listening is not None:
                site = web.SockSite(runner, listening, ssl_context=registry.tls)
            await site.start()
            host, port = runner.addresses[0][:2]
            registry.address = f"{host}:{port}"
            yield registry
        finally:
            await runner.cleanup()

    @property
    def origin(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.address}"

    def put_blob(self, body: bytes) -> str:
        self.blobs[digest_of(body)] = body
        return digest_of(body)

    def put_manifest(self, repository: str, tag: str, body: bytes, media_type: str) -> str:
        digest = digest_of(body)
        for name in (tag, digest):
            self.manifests[repository, name] = (media_type, body)
        return digest

    def count(self, part: str) -> Counter[str]:
        """How often each method was asked for paths that hold `part`."""
        return Counter(seen.method for seen in self.seen if part in seen.path)

    # --- who calls ----------------------------------------------------------------------------------------------------

    async def _any(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(
            Seen(
                request.method,
                request.path_qs,
                request.headers.get("Authorization", ""),
                request.headers.get("Range", ""),
            )
        )
        path = request.path.removeprefix("/v2/")
        repository, kind, name = self._split(path)
        actions = "pull" if request.method in {"GET", "HEAD"} and kind != "uploads" else "pull,push"
        if not self._may(request, repository, actions):
            return self._challenge(repository, actions)
        if not path:
            return web.Response()  # the base, by which clients tell that this is a registry
        if kind in {"manifests", "blobs"} and request.method in {"GET", "HEAD"} and self.faults.statuses:
            after = {"Retry-After": self.faults.retry_after} if self.faults.retry_after else {}
            return self._error(self.faults.statuses.pop(0), "FAULT", "as the test wished", after)
        handlers = {"manifests": self._manifest, "blobs": self._blob, "uploads": self._upload, "referrers": self._refer}
        if kind not in handlers:
            return self._error(404, "NAME_UNKNOWN", "no such path")
        return await handlers[kind](request, repository, name)

    def _split(self, path: str) -> tuple[str, str, str]:
        for mark, kind in (("/blobs/uploads", "uploads"), ("/blobs/", "blobs"), ("/manifests/", "manifests")):
            if mark in path:
                repository, _, name = path.partition(mark)
                return repository, kind, name.strip("/")
        repository, _, name = path.partition("/referrers/")
        return repository, "referrers" if name else "", name

    def _may(self, request: web.Request, repository: str, actions: str) -> bool:
        if not self.users or (self.anonymous_pull and actions == "pull" and not self.tokens):
            return True
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        if self.tokens:
            scope, until = self.issued.get(secret, ("", 0.0))
            allowed = scope in {f"repository:{repository}:{actions}", f"repository:{repository}:pull,push"}
            return scheme == "Bearer" and allowed and asyncio.get_running_loop().time() < until
        return scheme == "Basic" and self._knows(secret)

    def _knows(self, secret: str) -> bool:
        name, _, password = base64.b64decode(secret).decode().partition(":")
        return name in self.users and self.users[name] == password

    def _challenge(self, repository: str, actions: str) -> web.Response:
        wish = 'Basic realm="fake"'
        if self.tokens:
            realm = self.realm or f"{self.origin}/token"
            wish = f'Bearer realm="{realm}",service="fake",scope="repository:{repository}:{actions}"'
        return self._error(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": wish})

    async def _token(self, request: web.Request) -> web.Response:
        authorization = request.headers.get("Authorization", "")
        self.seen.append(Seen(request.method, request.path_qs, authorization, ""))
        if request.method == "POST":
            form = await request.post()
            scope = str(form.get("scope", ""))
            good = bool(self.refresh_token) and form.get("refresh_token") == self.refresh_token
        else:
            scope = request.query.get("scope", "")
            anonymous = self.anonymous_pull and not authorization and scope.endswith(":pull")
            good = anonymous or (bool(authorization) and self._knows(authorization.partition(" ")[2]))
        if not good:
            return self._error(401, "UNAUTHORIZED", "who are you")
        value = secrets.token_urlsafe(16)
        self.issued[value] = (scope, asyncio.get_running_loop().time() + self.token_seconds)
        return web.json_response({"token": value, "expires_in": self.token_seconds})

    def _error(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
        return web.json_response({"errors": [{"code": code, "message": message}]}, status=status, headers=headers)

    # --- manifests ----------------------------------------------------------------------------------------------------

    async def _manifest(self, request: web.Request, repository: str, name: str) -> web.StreamResponse:
        if request.method == "PUT":
            return await self._put_manifest(request, repository, name)
        if request.method == "HEAD" and self.faults.no_head:
            return web.Response(status=405)
        if self.faults.huge_manifest:
            return await self._huge(request)
        if (repository, name) not in self.manifests:
            return self._error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        media_type, body = self.manifests[repository, name]
        headers = {"Docker-Content-Digest": self.faults.wrong_digest_header or digest_of(body)}
        if self.faults.wrong_bytes:
            body = body.replace(b"2", b"3", 1)
        return web.Response(body=body, content_type=media_type, headers=headers)

    async def _put_manifest(self, request: web.Request, repository: str, name: str) -> web.Response:
        body = await request.read()
        digest = self.put_manifest(repository, name, body, request.content_type)
        headers = {"Docker-Content-Digest": self.faults.stored_digest or digest}
        subject = json.loads(body).get("subject")
        if subject and self.referrers_api:
            headers["OCI-Subject"] = subject["digest"]
        return web.Response(status=201, headers=headers)

    async def _huge(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_type = "application/vnd.oci.image.manifest.v1+json"
        await response.prepare(request)
        for _ in range(self.faults.huge_manifest >> 16):
            await response.write(b" " * (1 << 16))
        return response

    async def _refer(self, request: web.Request, repository: str, name: str) -> web.StreamResponse:
        if not self.referrers_api:
            return self._error(404, "NAME_UNKNOWN", "no such path")
        found = []
        for (place, key), (media_type, body) in self.manifests.items():
            parsed = json.loads(body)
            if place == repository and key == digest_of(body) and parsed.get("subject", {}).get("digest") == name:
                type_ = parsed.get("artifactType") or parsed.get("config", {}).get("mediaType", "")
                found.append({"mediaType": media_type, "digest": key, "size": len(body), "artifactType": type_})
        at = int(request.query.get("at", "0"))
        headers = {}
        if len(found) > at + 2:
            headers["Link"] = f'<{request.path}?at={at + 2}>; rel="next"'
        body = json.dumps({"schemaVersion": 2, "mediaType": _INDEX, "manifests": found[at : at + 2]}).encode()
        return web.Response(body=body, content_type=_INDEX, headers=headers)

    # --- blobs --------------------------------------------------------------------------------------------------------

    async def _blob(self, request: web.Request, _repository: str, name: str) -> web.StreamResponse:
        if self.faults.redirect_to and request.method == "GET":
            return web.Response(
                status=307, headers={"Location": f"{self.faults.redirect_to}/v2/x/blobs/{name}?sig=s%2Bx"}
            )
        if name not in self.blobs:
            return self._error(404, "BLOB_UNKNOWN", "blob unknown")
        whole = self.blobs[name]
        if request.method == "HEAD":
            return web.Response(headers={"Docker-Content-Digest": name, "Content-Length": str(len(whole))})
        if self.faults.wrong_bytes:
            whole = bytes(byte ^ 1 for byte in whole)
        if self.faults.wrong_length:
            whole = (whole * 2)[: self.faults.wrong_length]
        await asyncio.sleep(self.faults.silent)
        start = 0
        if request.headers.get("Range") and self.faults.refuses_ranges:
            return self._error(416, "BLOB_UNKNOWN", "no such range")
        if request.headers.get("Range") and not self.faults.no_ranges:
            first, _, last = request.headers["Range"].removeprefix("bytes=").partition("-")
            assert int(last) == len(self.blobs[name]) - 1
            start = int(first)
        return await self._stream(request, whole, start)

    async def _stream(self, request: web.Request, whole: bytes, start: int) -> web.StreamResponse:
        body = whole[start:]
        response = web.StreamResponse(status=206 if start else 200)
        response.content_length = len(body)
        if start:
            response.headers["Content-Range"] = f"bytes {start}-{len(whole) - 1}/{len(whole)}"
        await response.prepare(request)
        cut = self.faults.cut_at.pop(0) if self.faults.cut_at else None
        step = 64 if self.faults.drip else 1 << 16
        for at in range(0, len(body) if cut is None else cut, step):
            await response.write(body[at : at + step if cut is None else min(at + step, cut)])
            await asyncio.sleep(self.faults.drip)
        if cut is not None and request.transport:
            request.transport.close()
        return response

    async def _upload(self, request: web.Request, repository: str, name: str) -> web.StreamResponse:
        if request.method == "POST":
            name = secrets.token_hex(8)
            self.uploads[name] = bytearray()
            return self._upload_state(repository, name, 202)
        if name not in self.uploads:
            return self._error(404, "BLOB_UPLOAD_UNKNOWN", "no such upload")
        held = self.uploads[name]
        if request.method in {"PATCH", "PUT"}:
            at = request.headers.get("Content-Range", f"{len(held)}-").partition("-")[0]
            if int(at) != len(held):
                return self._error(416, "BLOB_UPLOAD_INVALID", "out of order")
            body = await request.read()
            if self.faults.cut_uploads:
                self.faults.cut_uploads -= 1
                held += body[: len(body) // 2]
                assert request.transport
                request.transport.close()
                return web.Response()
            held += body
        if request.method != "PUT":
            return self._upload_state(repository, name, 204 if request.method == "GET" else 202)
        if request.query.get("digest") != digest_of(bytes(held)):
            return self._error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        digest = self.put_blob(bytes(self.uploads.pop(name)))
        return web.Response(status=201, headers={"Docker-Content-Digest": self.faults.stored_digest or digest})

    def _upload_state(self, repository: str, name: str, status: int) -> web.Response:
        headers = {"Location": f"/v2/{repository}/blobs/uploads/{name}?_state=a%2Bb"}
        if held := len(self.uploads[name]):
            headers["Range"] = f"0-{held - 1}"
        return web.Response(status=status, headers=headers)
