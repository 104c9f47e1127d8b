"""Certificates and keys of a cluster that lives for one test session."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Authority", "private_key"]

LIFE = dt.timedelta(days=2)


def private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Make a key and write it, readable by its owner alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    encoding = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(*encoding))
    return key


@dataclass(frozen=True)
class Authority:
    """A certificate authority of its own; the API server and its clients trust it alone."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def made(cls, folder: Path) -> Authority:
        """Make key and certificate `ca.crt` in `folder`."""
        key = private_key(folder / "ca.key")
        name = _name("conductor-test-ca", "")
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        builder = (
            _builder(name, name, key)
            .add_extension(constraints, critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        certificate = builder.sign(key, hashes.SHA256())
        (folder / "ca.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return cls(folder, key, certificate)

    def issue(
        self, stem: str, common_name: str, group: str = "", *, server: bool = False, addresses: tuple[str, ...] = ()
    ) -> tuple[Path, Path]:
        """Sign a certificate, for loopback and these addresses; answers the paths of it and its key."""
        paths = self.folder / f"{stem}.crt", self.folder / f"{stem}.key"
        key = private_key(paths[1])
        use = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        names = x509.SubjectAlternativeName(
            [
                x509.DNSName("localhost"),
                *(x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", *addresses)),
            ]
        )
        builder = (
            _builder(_name(common_name, group), self.certificate.subject, key)
            .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .add_extension(names, critical=False)
        )
        paths[0].write_bytes(builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return paths


def _name(common_name: str, group: str) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    return x509.Name([*([x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)] if group else []), *parts])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + LIFE)
    )
