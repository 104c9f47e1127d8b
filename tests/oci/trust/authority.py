"""A certificate authority, a certificate log and a signature log of our own: everything a keyless signature leans on.

Laid out as Fulcio, its CT log and Rekor (v1) do: the certificate carries a signed timestamp over its precertificate, the
log signs a promise and a checkpoint of a tree with one leaf.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from conductor.oci.trust.claims import IN_TOTO, pae
from tests.oci.trust.workshop import BUNDLE, envelope, key, payload, signed, statement, text

ISSUER, SUBJECT = "https://accounts.example", "ada@acme.example"
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
_SCT_LIST = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_OLD_ISSUER_OID = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_ISSUER_OID = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8")


def _der(private: ec.EllipticCurvePrivateKey) -> bytes:
    kinds = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return private.public_key().public_bytes(*kinds)


def _log_id(private: ec.EllipticCurvePrivateKey) -> bytes:
    return hashlib.sha256(_der(private)).digest()


def name_of(common: str) -> x509.Name:
    words = [(NameOID.ORGANIZATION_NAME, "acme"), (NameOID.COMMON_NAME, common)]
    return x509.Name([x509.NameAttribute(oid, word) for oid, word in words])


class TimeStamper(Protocol):
    """Says when something was there."""

    def stamped(self, data: bytes) -> bytes: ...


@dataclass
class Signed:
    """A fresh key with the certificate that names its holder."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)


@dataclass
class Authority:
    """Certifies anybody, logs anything."""

    root_key: ec.EllipticCurvePrivateKey = field(default_factory=key)
    ct_key: ec.EllipticCurvePrivateKey = field(default_factory=key)
    rekor_key: ec.EllipticCurvePrivateKey = field(default_factory=key)

    def __post_init__(self) -> None:
        name = name_of("acme root")
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.root_key.public_key())
            .serial_number(1)
            .not_valid_before(NOW - timedelta(days=365))
            .not_valid_after(NOW + timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.KeyUsage(**NO_USAGE | {"key_cert_sign": True, "crl_sign": True}), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.root_key.public_key()), critical=False)
        )
        self.root = builder.sign(self.root_key, hashes.SHA256())

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
                        "certChain": {"certificates": [{"rawBytes": text(self.root.public_bytes(_DER))}]},
                        "validFor": validity,
                    }
                ],
                "timestampAuthorities": [],
            }
        )

    def certified(
        self,
        *,
        subject: str = SUBJECT,
        issuer: str = ISSUER,
        ct_key: ec.EllipticCurvePrivateKey | None = None,
        since: datetime = NOW,
    ) -> Signed:
        """Give somebody a certificate for ten minutes."""
        private = key()
        usage = x509.KeyUsage(**NO_USAGE | {"digital_signature": True})
        name = x509.RFC822Name(subject) if "@" in subject else x509.UniformResourceIdentifier(subject)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.root.subject)
            .public_key(private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(since)
            .not_valid_after(since + timedelta(minutes=10))
            .add_extension(usage, critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.root_key.public_key()), critical=False
            )
            .add_extension(x509.SubjectAlternativeName([name]), critical=True)
            .add_extension(x509.UnrecognizedExtension(_OLD_ISSUER_OID, issuer.encode()), critical=False)
            .add_extension(x509.UnrecognizedExtension(_ISSUER_OID, _utf8(issuer)), critical=False)
        )
        before = builder.sign(self.root_key, hashes.SHA256()).tbs_certificate_bytes
        promised = x509.UnrecognizedExtension(_SCT_LIST, self._sct(before, ct_key or self.ct_key))
        return Signed(private, builder.add_extension(promised, critical=False).sign(self.root_key, hashes.SHA256()))

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
        entry["logID"] = _log_id(self.rekor_key).hex()
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
        mark = text(_log_id(self.rekor_key)[:4] + signed(self.rekor_key, note.encode()))
        entry = {"body": text(canonical), "integratedTime": int(at.timestamp()), "logIndex": 0}
        promise = signed(self.rekor_key, _canonical(entry | {"logID": _log_id(self.rekor_key).hex()}))
        return {
            "logIndex": "0",
            "logId": {"keyId": text(_log_id(self.rekor_key))},
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

    def _sct(self, before: bytes, ct_key: ec.EllipticCurvePrivateKey) -> bytes:
        """Promise to log a precertificate, as RFC 6962 packs it."""
        at = int(NOW.timestamp() * 1000)
        root = hashlib.sha256(_der(self.root_key)).digest()
        entry = struct.pack("!BBQH", 0, 0, at, 1) + root + len(before).to_bytes(3, "big") + before + b"\0\0"
        signature = signed(ct_key, entry)
        sct = struct.pack("!B32sQHBBH", 0, _log_id(ct_key), at, 0, 4, 3, len(signature)) + signature
        listed = struct.pack("!H", len(sct)) + sct
        return _octets(struct.pack("!H", len(listed)) + listed)

    def _log(self, private: ec.EllipticCurvePrivateKey, validity: Mapping[str, str]) -> dict[str, Any]:
        return {
            "baseUrl": "https://log.example",
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": text(_der(private)),
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "validFor": validity,
            },
            "logId": {"keyId": text(_log_id(private))},
        }


_DER = serialization.Encoding.DER
_USAGES = "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign"
NO_USAGE = dict.fromkeys((*_USAGES.split(), "encipher_only", "decipher_only"), False)


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


def _utf8(word: str) -> bytes:
    raw = word.encode()
    assert len(raw) < 128
    return bytes((0x0C, len(raw))) + raw


def _octets(raw: bytes) -> bytes:
    length = bytes((len(raw),)) if len(raw) < 128 else bytes((0x81, len(raw)))
    assert len(raw) < 256
    return b"\x04" + length + raw
