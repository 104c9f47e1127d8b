"""Credential helpers: programs named `docker-credential-NAME` that know passwords, each a child with bounds."""

from __future__ import annotations

import shutil

from conductor.children import ask
from conductor.errors import ConductorError, RegistryRefused
from conductor.model.image import Credentials
from conductor.oci.documents import json_object

__all__ = ["ask_helper"]

_SECONDS = 15.0
_MOST_BYTES = 64 << 10
_HUB_KEY = "https://index.docker.io/v1/"
"""What docker's own helpers keep the hub's password under."""


async def ask_helper(helper: str, host: str, *, seconds: float = _SECONDS) -> Credentials | None:
    """Ask one helper for a host; None where it has nothing. Raises `RegistryRefused`; its words are not repeated."""
    program = shutil.which(f"docker-credential-{helper}")
    if program is None:
        raise RegistryRefused(f"{host}: the credential helper docker-credential-{helper} is not installed")
    key = _HUB_KEY if host == "docker.io" else host
    try:
        answer = await ask((program, "get"), f"{key}\n".encode(), seconds=seconds, most=_MOST_BYTES)
    except OSError as exc:
        if isinstance(exc, TimeoutError):
            raise RegistryRefused(f"{host}: docker-credential-{helper} gave no answer within {seconds:.0f} s") from None
        raise RegistryRefused(f"{host}: docker-credential-{helper} cannot be run: {exc.strerror}") from None
    told, status = answer.said, answer.status
    if answer.is_too_long:
        raise RegistryRefused(f"{host}: docker-credential-{helper} answered with more than {_MOST_BYTES} bytes")
    if status != 0:
        if b"credentials not found" in told:
            return None
        raise RegistryRefused(f"{host}: docker-credential-{helper} ended with status {status}; run it by hand to see")
    return _read(told, helper, host)


def _read(told: bytes, helper: str, host: str) -> Credentials | None:
    try:
        raw = json_object(told, "its answer", _MOST_BYTES)
    except ConductorError:
        raise RegistryRefused(f"{host}: docker-credential-{helper} answered with something that is no JSON") from None
    name, secret = raw.get("Username"), raw.get("Secret")
    if not isinstance(name, str) or not isinstance(secret, str):
        raise RegistryRefused(f"{host}: docker-credential-{helper} answered without Username and Secret")
    return Credentials(name, secret) if secret else None
