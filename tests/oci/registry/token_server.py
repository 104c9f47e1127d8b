"""A token server for real registries: signs what docker-registry believes (JWT, ES256, certificate in the header)."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from typing_extensions import override

from tests.oci.authority import Authority

__all__ = ["ISSUER", "SERVICE", "TokenServer"]

ISSUER, SERVICE = "tests", "registry"


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@dataclass
class TokenServer:
    """Who may do what, and what was asked for. `seconds`: how long a token is good."""

    authority: Authority
    users: Mapping[str, str]
    refresh_token: str = ""
    seconds: int = 300
    scopes: list[str] = field(default_factory=list)
    address: str = ""

    @contextmanager
    def serving(self) -> Iterator[TokenServer]:
        """Serve with TLS on a free port of 127.0.0.1, on a thread."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        server.socket = self.authority.server().wrap_socket(server.socket, server_side=True)
        self.address = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, name="tokens")
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def token(self, user: str, scope: str) -> str:
        """Sign a token for one scope; empty: for nothing."""
        now = int(time.time())
        granted = []
        if scope:
            kind, name, actions = scope.split(":")
            granted.append({"type": kind, "name": name, "actions": actions.split(",")})
        claims = {"iss": ISSUER, "sub": user, "aud": SERVICE, "iat": now, "nbf": now - 5, "exp": now + self.seconds}
        certificate = x509.load_pem_x509_certificate(self.authority.certificate.read_bytes())
        chain = [base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()]
        head = {"typ": "JWT", "alg": "ES256", "x5c": chain}
        parts = [_text(json.dumps(part).encode()) for part in (head, claims | {"jti": str(now), "access": granted})]
        key = load_pem_private_key(self.authority.key.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        r, s = decode_dss_signature(key.sign(".".join(parts).encode(), ec.ECDSA(hashes.SHA256())))
        return ".".join([*parts, _text(r.to_bytes(32, "big") + s.to_bytes(32, "big"))])

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        ours = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = parse_qs(urlsplit(self.path).query)
                shown = self.headers.get("Authorization", "").removeprefix("Basic ")
                user, _, password = base64.b64decode(shown).decode().partition(":")
                self._answer(user, asked, good=ours.users.get(user) == password)

            def do_POST(self) -> None:
                asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                good = bool(ours.refresh_token) and asked.get("refresh_token") == [ours.refresh_token]
                self._answer("bob", asked, good=good)

            def _answer(self, user: str, asked: Mapping[str, list[str]], *, good: bool) -> None:
                scope = asked.get("scope", [""])[0]
                ours.scopes.append(scope)
                told: dict[str, Any] = {"details": "who are you"}
                if good:
                    told = {"token": ours.token(user, scope), "expires_in": ours.seconds}
                body = json.dumps(told).encode()
                self.send_response(200 if good else 401)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            @override
            def log_message(self, *_words: Any) -> None:
                """Stay silent."""

        return Handler
