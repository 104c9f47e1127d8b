"""What lies beside an image and may be a signature: as it was fetched, not judged yet."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["BUNDLE_TYPE", "SIMPLE_TYPE", "BundleEvidence", "Evidence", "SimpleEvidence", "evidence_from", "printed"]

SIMPLE_TYPE: Final = "application/vnd.dev.cosign.simplesigning.v1+json"
BUNDLE_TYPE: Final = "application/vnd.dev.sigstore.bundle"
"""Every version's media type begins so."""
_ANNOTATIONS: Final = {
    "signature": "dev.cosignproject.cosign/signature",
    "certificate": "dev.sigstore.cosign/certificate",
    "rekor": "dev.sigstore.cosign/bundle",
}


@dataclass(frozen=True, slots=True)
class SimpleEvidence:
    """One layer of cosign's older form: the payload, and what its annotations say."""

    payload: bytes
    signature: str
    certificate: str = ""
    rekor: str = ""

    @classmethod
    def read(cls, payload: bytes, annotations: Mapping[str, str]) -> SimpleEvidence:
        """Pick the annotations that count."""
        return cls(payload, **{field: annotations.get(name, "") for field, name in _ANNOTATIONS.items()})


@dataclass(frozen=True, slots=True)
class BundleEvidence:
    """One Sigstore bundle, whatever it attests."""

    body: bytes


Evidence = SimpleEvidence | BundleEvidence


def printed(evidence: Evidence) -> dict[str, str]:
    """Print it for `evidence_from`."""
    if isinstance(evidence, BundleEvidence):
        return {"bundle": base64.b64encode(evidence.body).decode()}
    return {
        "payload": base64.b64encode(evidence.payload).decode(),
        "signature": evidence.signature,
        "certificate": evidence.certificate,
        "rekor": evidence.rekor,
    }


def evidence_from(raw: Mapping[str, Any]) -> Evidence:
    """Read what `printed` made."""
    if "bundle" in raw:
        return BundleEvidence(base64.b64decode(raw["bundle"]))
    return SimpleEvidence(
        base64.b64decode(raw["payload"]), raw["signature"], certificate=raw["certificate"], rekor=raw["rekor"]
    )
