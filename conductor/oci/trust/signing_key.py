"""A private key that signs: read once, never shown."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from conductor.errors import InvalidSpec
from conductor.oci.trust.keys import PublicKey, hashes_for, is_taken

__all__ = ["ADVICE", "SigningKey"]

_LARGEST = 64 << 10
ADVICE: Final = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes256 -out signing.key"
"""Makes a key."""


class SigningKey:
    """Sign with one key."""

    def __init__(self, private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> None:
        self._private = private

    @classmethod
    def read(cls, path: Path, password: bytes | None) -> SigningKey:
        """Read a PEM file. Raises `InvalidSpec`."""
        try:
            data = path.read_bytes()[:_LARGEST]
        except OSError as exc:
            raise InvalidSpec("key", f"{path}: {exc.strerror}") from exc
        if b"SIGSTORE PRIVATE KEY" in data or b"COSIGN PRIVATE KEY" in data:
            raise InvalidSpec(
                "key",
                f"{path} is encrypted in cosign's own way, which is not read here; sign with `cosign sign --key`, which"
                f" counts as much, or make a key for this: {ADVICE}",
            )
        encrypted = b"ENCRYPTED" in data
        if encrypted and not password:
            raise InvalidSpec("key", f"{path} is encrypted; give its password in CONDUCTOR_SIGNING_PASSWORD")
        try:
            private = load_pem_private_key(data, password if encrypted else None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
            wrong = "its password is wrong, or it" if encrypted else "it"
            raise InvalidSpec("key", f"{path}: {wrong} is no private key in PEM; one is made by {ADVICE}") from exc
        kinds = (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey, ed25519.Ed25519PrivateKey)
        if not isinstance(private, kinds) or not is_taken(private.public_key()):
            raise InvalidSpec("key", f"{path} is of a kind or size that no policy takes; one is made by {ADVICE}")
        return cls(private)

    def sign(self, message: bytes, *, plain: bool = False) -> bytes:
        """Sign, the same message always alike; `plain` hashes with SHA-256 whatever the key, as older forms do."""
        match self._private:
            case ed25519.Ed25519PrivateKey() as private:
                return private.sign(message)
            case rsa.RSAPrivateKey() as private:
                return private.sign(message, padding.PKCS1v15(), hashes.SHA256())
            case ec.EllipticCurvePrivateKey() as private:
                algorithm = hashes.SHA256() if plain else hashes_for(private.public_key())[0]
                try:
                    return private.sign(message, ec.ECDSA(algorithm, deterministic_signing=True))
                except UnsupportedAlgorithm:  # an OpenSSL before 3.2: signatures of one message differ
                    return private.sign(message, ec.ECDSA(algorithm))

    @property
    def public(self) -> PublicKey:
        """The half that policies name."""
        return self._private.public_key()

    @property
    def hint(self) -> str:
        """Hash of the public half, by which bundles say whose they are."""
        der = self.public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(hashlib.sha256(der).digest()).decode()
