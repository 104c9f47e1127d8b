"""A time stamper of our own (RFC 3161), by openssl; it stamps the time that it is."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.oci.trust.certifier import NO_USAGE, name_of
from tests.oci.trust.workshop import key, private_pem, text

_CONFIG = """
[tsa]
default_tsa = ours
[ours]
serial = serial
crypto_device = builtin
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
ess_cert_id_alg = sha256
"""


class TimeStamper:
    """Certified by a root of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._since = folder, datetime.now(UTC) - timedelta(hours=1)
        root_key, own = key(), key()
        self._root = self._certificate("time root", root_key.public_key(), "time root", root_key, purpose=False)
        self._leaf = self._certificate("time", own.public_key(), "time root", root_key, purpose=True)
        (folder / "tsa.key").write_bytes(private_pem(own))
        (folder / "tsa.pem").write_bytes(self._leaf.public_bytes(Encoding.PEM))
        (folder / "serial").write_text("01\n")
        (folder / "openssl.cnf").write_text(_CONFIG)

    @property
    def described(self) -> dict[str, Any]:
        """Its entry in a trusted root."""
        chain = [{"rawBytes": text(each.public_bytes(Encoding.DER))} for each in (self._leaf, self._root)]
        return {
            "subject": {"organization": "acme", "commonName": "time root"},
            "uri": "https://time.example",
            "certChain": {"certificates": chain},
            "validFor": {"start": self._since.isoformat()},
        }

    def stamped(self, data: bytes) -> bytes:
        """Answer the reply that says `data` was there by now."""
        (self._folder / "data").write_bytes(data)
        self._openssl("-query", "-data", "data", "-sha256", "-cert", "-out", "query")
        reply = ("-reply", "-config", "openssl.cnf", "-queryfile", "query", "-inkey", "tsa.key", "-signer", "tsa.pem")
        self._openssl(*reply, "-out", "reply")
        return (self._folder / "reply").read_bytes()

    def _openssl(self, *words: str) -> None:
        done = subprocess.run(["openssl", "ts", *words], cwd=self._folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def _certificate(self, subject: str, public: Any, issuer: str, by: Any, *, purpose: bool) -> x509.Certificate:
        usage = {"digital_signature": True} if purpose else {"key_cert_sign": True, "crl_sign": True}
        builder = (
            x509.CertificateBuilder()
            .subject_name(name_of(subject))
            .issuer_name(name_of(issuer))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._since)
            .not_valid_after(self._since + timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=not purpose, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(**NO_USAGE | usage), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
        )
        if purpose:
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
        return builder.sign(by, hashes.SHA256())
