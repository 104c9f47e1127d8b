"""Certificates as Fulcio gives them: short-lived, naming their holder, with a log's promise over the precertificate."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.oci.trust.workshop import key, signed

ISSUER, SUBJECT = "https://accounts.example", "ada@acme.example"
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
_SCT_LIST = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_OLD_ISSUER_OID = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_ISSUER_OID = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
DER = serialization.Encoding.DER
_USAGES = "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign"
NO_USAGE = dict.fromkeys((*_USAGES.split(), "encipher_only", "decipher_only"), False)


def der_of(private: ec.EllipticCurvePrivateKey) -> bytes:
    kinds = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return private.public_key().public_bytes(*kinds)


def log_id(private: ec.EllipticCurvePrivateKey) -> bytes:
    return hashlib.sha256(der_of(private)).digest()


def name_of(common: str) -> x509.Name:
    words = [(NameOID.ORGANIZATION_NAME, "acme"), (NameOID.COMMON_NAME, common)]
    return x509.Name([x509.NameAttribute(oid, word) for oid, word in words])


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
class Certifier:
    """Certifies anybody."""

    root_key: ec.EllipticCurvePrivateKey = field(default_factory=key)
    ct_key: ec.EllipticCurvePrivateKey = field(default_factory=key)

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

    def _sct(self, before: bytes, ct_key: ec.EllipticCurvePrivateKey) -> bytes:
        """Promise to log a precertificate, as RFC 6962 packs it."""
        at = int(NOW.timestamp() * 1000)
        root = hashlib.sha256(der_of(self.root_key)).digest()
        entry = struct.pack("!BBQH", 0, 0, at, 1) + root + len(before).to_bytes(3, "big") + before + b"\0\0"
        signature = signed(ct_key, entry)
        sct = struct.pack("!B32sQHBBH", 0, log_id(ct_key), at, 0, 4, 3, len(signature)) + signature
        listed = struct.pack("!H", len(sct)) + sct
        return _octets(struct.pack("!H", len(listed)) + listed)


def _utf8(word: str) -> bytes:
    raw = word.encode()
    assert len(raw) < 128
    return bytes((0x0C, len(raw))) + raw


def _octets(raw: bytes) -> bytes:
    length = bytes((len(raw),)) if len(raw) < 128 else bytes((0x81, len(raw)))
    assert len(raw) < 256
    return b"\x04" + length + raw
