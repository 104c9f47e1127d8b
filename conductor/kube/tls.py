"""What the REST client wants to be told, and certificates as the files that TLS libraries insist on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from conductor.kube.access import Access, Pem

__all__ = ["RestSettings", "settings"]

CONNECTIONS = 64
"""Each watch holds one; what else is asked at once waits for one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestSettings:
    """The part of kubernetes-asyncio's Configuration that its REST client reads; the rest would import urllib3."""

    ssl_ca_cert: str | None
    cert_file: str | None
    key_file: str | None
    tls_server_name: str | None
    verify_ssl: bool
    proxy: str | None
    proxy_headers: None = None
    disable_strict_ssl_verification: bool = True
    """From 3.13 Python asks for extensions that many clusters' own authorities lack; kubectl never did."""
    connection_pool_maxsize: int = CONNECTIONS


@contextmanager
def settings(access: Access) -> Iterator[RestSettings]:
    """Answer settings whose files exist until this ends: the client has read them by then."""
    with ExitStack() as stack:

        def file(pem: Pem | None) -> str | None:
            return None if pem is None else str(pem.path) if pem.path else stack.enter_context(_written(pem.content))

        yield RestSettings(
            ssl_ca_cert=file(access.authority),
            cert_file=file(access.certificate),
            key_file=file(access.key),
            tls_server_name=access.server_name or None,
            verify_ssl=access.verified,
            proxy=access.proxy or None,
        )


@contextmanager
def _written(content: bytes) -> Iterator[str]:
    # In memory alone: a key never reaches a disk.
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
