"""A certificate authority and a signature log of our own: everything a keyless signature leans on.

The log promises and proves as Rekor does, in a tree with one leaf. `test_cosign` holds what is made here to the real cosign.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric import ec

from conductor.oci.trust.claims import IN_TOTO, pae
from tests.oci.trust.certifier import DER, ISSUER, NOW, SUBJECT, Certifier, Signed, der_of, log_id
from tests.oci.trust.workshop import BUNDLE, envelope, key, payload, signed, statement, text

__all__ = ["ISSUER", "NOW", "SUBJECT", "Authority", "Signed"]


class TimeStamper(Protocol):
    """Says when something was there."""

    def stamped(self, data: bytes) -> bytes: ...


@dataclass
class Authority(Certifier):
    """Certifies anybody, logs anything."""

    rekor_key: ec.EllipticCurvePrivateKey = field(default_factory=key)

    @property
    def trusted_root(self) -> str:
        """The file that a policy names."""
        validity = {"start": (NOW - timedelta(days=365)).isoformat()}
        return json.dumps(
            {
                "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                "tlogs": [self._log(self.rekor_key, validity)],
                "ctlogs": [self._log(self.ct_key, validity)],
                "certificateAuthorities": [
                    {
                        "subject": {"organization": "acme", "commonName": "acme root"},
                        "uri": "https://fulcio.example",
                        "certChain": {"certificates": [{"rawBytes": text(self.root.public_bytes(DER))}]},
                        "validFor": validity,
                    }
                ],
                "timestampAuthorities": [],
            }
        )

    def bundle(
        self, who: Signed, said: bytes | None = None, *, at: datetime = NOW + timedelta(minutes=1), **bad: Any
    ) -> bytes:
        """Sign a statement, log it, put both in a bundle; `bad` replaces parts of the log entry."""
        letter = envelope(who.key, said or statement())
        body = {
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": {"algorithm": "sha256", "value": "00" * 32},
                "payloadHash": {
                    "algorithm": "sha256",
                    "value": hashlib.sha256(base64.b64decode(letter["payload"])).hexdigest(),
                },
                "signatures": [{"signature": letter["signatures"][0]["sig"], "verifier": text(who.pem.encode())}],
            },
        }
        return json.dumps(
            {
                "mediaType": BUNDLE,
                "verificationMaterial": {
                    "certificate": {"rawBytes": text(who.der)},
                    "tlogEntries": [self._entry(body, at) | bad],
                },
                "dsseEnvelope": letter,
            }
        ).encode()

    def message_bundle(self, who: Signed, artifact: bytes) -> bytes:
        """Sign bytes rather than a statement about them."""
        signature = signed(who.key, artifact)
        body = _hashedrekord(who, signature, artifact)
        digest = hashlib.sha256(artifact).digest()
        return json.dumps(
            {
                "mediaType": BUNDLE,
                "verificationMaterial": {
                    "certificate": {"rawBytes": text(who.der)},
                    "tlogEntries": [self._entry(body, NOW + timedelta(minutes=1))],
                },
                "messageSignature": {
                    "messageDigest": {"algorithm": "SHA2_256", "digest": text(digest)},
                    "signature": text(signature),
                },
            }
        ).encode()

    def stamped_bundle(self, who: Signed, stamper: TimeStamper, *, said: bytes = b"", stamped: bytes = b"") -> bytes:
        """Sign a statement as Rekor v2 logs it: without a time of its own, which a stamper tells."""
        said = said or statement()
        letter = envelope(who.key, said)
        signature = base64.b64decode(letter["signatures"][0]["sig"])
        digest = hashlib.sha256(pae(IN_TOTO, said)).digest()
        holder = {"keyDetails": "PKIX_ECDSA_P256_SHA_256", "x509Certificate": {"rawBytes": text(who.der)}}
        record = {
            "data": {"algorithm": "SHA2_256", "digest": text(digest)},
            "signature": {"content": text(signature), "verifier": holder},
        }
        body = {"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": {"hashedRekordV002": record}}
        entry = self._entry(body, NOW)
        for mark in ("inclusionPromise", "integratedTime"):
            del entry[mark]
        stamp = stamper.stamped(stamped or signature)
        return json.dumps(
            {
                "mediaType": BUNDLE,
                "verificationMaterial": {
                    "certificate": {"rawBytes": text(who.der)},
                    "tlogEntries": [entry],
                    "timestampVerificationData": {"rfc3161Timestamps": [{"signedTimestamp": text(stamp)}]},
                },
                "dsseEnvelope": letter,
            }
        ).encode()

    def simple(
        self, who: Signed, said: bytes | None = None, *, at: datetime = NOW + timedelta(minutes=1), logged: bytes = b""
    ) -> tuple[bytes, Mapping[str, str]]:
        """Sign a payload as cosign 2 does: certificate and log entry lie in annotations."""
        said = said or payload()
        signature = signed(who.key, said)
        canonical = _canonical(_hashedrekord(who, signature, logged or said))
        entry = {"body": text(canonical), "integratedTime": int(at.timestamp()), "logIndex": 7}
        entry["logID"] = log_id(self.rekor_key).hex()
        promise = signed(self.rekor_key, _canonical(entry))
        return said, {
            "dev.cosignproject.cosign/signature": text(signature),
            "dev.sigstore.cosign/certificate": who.pem,
            "dev.sigstore.cosign/bundle": json.dumps({"SignedEntryTimestamp": text(promise), "Payload": entry}),
        }

    def _entry(self, body: Mapping[str, Any], at: datetime) -> dict[str, Any]:
        canonical = _canonical(body)
        leaf = hashlib.sha256(b"\0" + canonical).digest()
        note = f"rekor.example - 1\n1\n{text(leaf)}\n"
        mark = text(log_id(self.rekor_key)[:4] + signed(self.rekor_key, note.encode()))
        entry = {"body": text(canonical), "integratedTime": int(at.timestamp()), "logIndex": 0}
        promise = signed(self.rekor_key, _canonical(entry | {"logID": log_id(self.rekor_key).hex()}))
        return {
            "logIndex": "0",
            "logId": {"keyId": text(log_id(self.rekor_key))},
            "kindVersion": {"kind": body["kind"], "version": body["apiVersion"]},
            "integratedTime": str(int(at.timestamp())),
            "inclusionPromise": {"signedEntryTimestamp": text(promise)},
            "inclusionProof": {
                "logIndex": "0",
                "rootHash": text(leaf),
                "treeSize": "1",
                "hashes": [],
                "checkpoint": {"envelope": f"{note}\n\u2014 rekor.example {mark}\n"},
            },
            "canonicalizedBody": text(canonical),
        }

    def _log(self, private: ec.EllipticCurvePrivateKey, validity: Mapping[str, str]) -> dict[str, Any]:
        return {
            "baseUrl": "https://log.example",
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": text(der_of(private)),
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "validFor": validity,
            },
            "logId": {"keyId": text(log_id(private))},
        }


def _hashedrekord(who: Signed, signature: bytes, artifact: bytes) -> dict[str, Any]:
    return {
        "apiVersion": "0.0.1",
        "kind": "hashedrekord",
        "spec": {
            "data": {"hash": {"algorithm": "sha256", "value": hashlib.sha256(artifact).hexdigest()}},
            "signature": {"content": text(signature), "publicKey": {"content": text(who.pem.encode())}},
        },
    }


def _canonical(said: Mapping[str, Any]) -> bytes:
    return json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
