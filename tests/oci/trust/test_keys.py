"""Which keys are taken, and whether they made a signature."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from conductor.oci.trust.keys import has_signed, public_key
from tests.oci.trust.workshop import PrivateKey, pem, signed

P256, P384, P521 = (ec.generate_private_key(curve()) for curve in (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1))
RSA, ED25519 = rsa.generate_private_key(65537, 2048), ed25519.Ed25519PrivateKey.generate()


@pytest.mark.parametrize(
    ("private", "algorithm"),
    [
        (P256, hashes.SHA256()),
        (P384, hashes.SHA256()),
        (P384, hashes.SHA384()),
        (P521, hashes.SHA512()),
        (RSA, hashes.SHA256()),
        (ED25519, None),
    ],
)
def test_a_good_signature_is_known_and_a_changed_message_is_not(
    private: PrivateKey, algorithm: hashes.HashAlgorithm | None
) -> None:
    key = public_key(pem(private))
    signature = signed(private, b"message", algorithm)
    assert has_signed(key, signature, b"message")
    assert not has_signed(key, signature, b"messagE")
    assert not has_signed(key, signature[:-1], b"message")


def test_a_weaker_hash_is_not_taken() -> None:
    assert not has_signed(public_key(pem(P256)), signed(P256, b"message", hashes.SHA1()), b"message")


@pytest.mark.parametrize("private", [ec.generate_private_key(ec.SECP224R1()), rsa.generate_private_key(65537, 1024)])
def test_weak_keys_are_refused(private: PrivateKey) -> None:
    with pytest.raises(ValueError, match="kind or size that is not taken"):
        public_key(pem(private))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is no public key"),
        ("-----BEGIN CERTIFICATE-----", "holds a certificate"),
        ("x" * 9999, "is no public key"),
    ],
)
def test_what_is_no_key_is_told(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        public_key(text)
