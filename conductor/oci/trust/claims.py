"""What a signed message says once its signature is known to be good; never read before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["IN_TOTO", "SIGN", "bundle_body", "names", "pae", "payload_problem", "statement_problem"]

IN_TOTO: Final = "application/vnd.in-toto+json"
SIGN: Final = "https://sigstore.dev/cosign/sign/v1"
_STATEMENTS: Final = ("https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1")
_PAYLOADS: Final = ("cosign container image signature", "atomic container signature")


def pae(kind: str, body: bytes) -> bytes:
    """Encode a payload and its type as DSSE has them signed."""
    name = kind.encode()
    return b"DSSEv1 %d %b %d %b" % (len(name), name, len(body), body)


def payload_problem(payload: bytes, digest: str) -> str:
    """Say why a simple-signing payload does not vouch for the digest; empty where it does."""
    said = _object(payload)
    critical = said.get("critical")
    if not isinstance(critical, Mapping) or critical.get("type") not in _PAYLOADS:
        return "what is signed is no simple-signing payload"
    image = critical.get("image")
    found = [value for value in image.values() if isinstance(value, str)] if isinstance(image, Mapping) else []
    return "" if digest in found else f"it is for another digest, {names(found)}"


def statement_problem(kind: str, payload: bytes, digest: str) -> str:
    """Say why an in-toto statement does not vouch for the digest; empty where it does."""
    said = _object(payload)
    if kind != IN_TOTO or said.get("_type") not in _STATEMENTS:
        return "what is signed is no in-toto statement"
    if said.get("predicateType") != SIGN:
        return f"it is an attestation ({names([said.get('predicateType')])}), which is no signature"
    subjects = said.get("subject")
    digests = (
        [each.get("digest") for each in subjects if isinstance(each, Mapping)] if isinstance(subjects, list) else []
    )
    found = [f"sha256:{each.get('sha256')}" for each in digests if isinstance(each, Mapping)]
    return "" if digest in found else f"it is for another digest, {names(found)}"


def bundle_body(body: bytes) -> Mapping[str, Any]:
    """Read a bundle's JSON. Raises `ValueError`."""
    said = json.loads(body)
    if not isinstance(said, Mapping):
        raise ValueError("a bundle is a JSON object")  # noqa: TRY004 - what callers catch
    return said


def names(found: list[Any]) -> str:
    """Show what a stranger wrote: few, short, printable."""
    short = (" ".join(str(each)[:500].split())[:120] for each in found[:3])
    shown = ["".join(mark if mark.isprintable() else "?" for mark in each) for each in short]
    return ", ".join(shown) or "none that it names"


def _object(raw: bytes) -> Mapping[str, Any]:
    try:
        said = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, Mapping) else {}
