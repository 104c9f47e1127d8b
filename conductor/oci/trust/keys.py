"""Public keys: which kinds are taken, and whether one made a signature. Runs in the judging child and where one signs."""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import load_pem_public_key

__all__ = ["PublicKey", "has_signed", "has_signed_digest", "hashes_for", "is_taken", "public_key"]

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
_CURVES: Final = {"secp256r1": hashes.SHA256(), "secp384r1": hashes.SHA384(), "secp521r1": hashes.SHA512()}
_TAKEN = "taken are ECDSA (P-256, P-384, P-521), RSA of 2048 bits or more, and Ed25519"


def public_key(pem: str) -> PublicKey:
    """Read a key. Raises `ValueError` with a sentence that fits behind the name of its field."""
    if "PRIVATE KEY" in pem:
        raise ValueError("holds a private key; give the public one, and treat this private key as known to others")
    if "BEGIN CERTIFICATE" in pem:
        raise ValueError("holds a certificate; give the public key itself (openssl x509 -pubkey -noout)")
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise ValueError(f"is no public key in PEM (-----BEGIN PUBLIC KEY-----): {exc}") from exc
    if not isinstance(key, PublicKey) or not is_taken(key):
        raise ValueError(f"is a key of a kind or size that is not taken; {_TAKEN}")
    return key


def is_taken(key: PublicKey) -> bool:
    """Whether its kind and size are good enough."""
    match key:
        case ec.EllipticCurvePublicKey():
            return key.curve.name in _CURVES
        case rsa.RSAPublicKey():
            return 2048 <= key.key_size <= 8192
        case ed25519.Ed25519PublicKey():
            return True


def hashes_for(key: PublicKey) -> tuple[hashes.HashAlgorithm, ...]:
    """What a message may have been hashed with: signers use SHA-256 for every key, or the one its curve asks for."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        own = _CURVES[key.curve.name]
        return (own,) if own.name == "sha256" else (own, hashes.SHA256())
    return (hashes.SHA256(),)


def has_signed(key: PublicKey, signature: bytes, message: bytes) -> bool:
    """Whether this key signed this message."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        try:
            key.verify(signature, message)
        except InvalidSignature:
            return False
        return True
    return any(_verifies(key, signature, message, algorithm) for algorithm in hashes_for(key))


def has_signed_digest(key: PublicKey, signature: bytes, digest: bytes) -> bool:
    """Whether this key signed a message with this SHA-256. Ed25519 signs messages only, so its answer is no."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        return False
    return _verifies(key, signature, digest, Prehashed(hashes.SHA256()))


def _verifies(
    key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    signature: bytes,
    data: bytes,
    algorithm: hashes.HashAlgorithm | Prehashed,
) -> bool:
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, padding.PKCS1v15(), algorithm)
        else:
            key.verify(signature, data, ec.ECDSA(algorithm))
    except InvalidSignature:
        return False
    return True
