"""Signing: what it leaves in a registry is what verification finds there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from conductor.errors import ImageNotFound, InvalidSpec
from conductor.oci.media_types import OCI_INDEX
from conductor.oci.trust.policy import TrustPolicy
from conductor.oci.trust.sign import sign
from conductor.oci.trust.signing_key import ADVICE
from conductor.oci.trust.verifier import Verifier
from tests.fakes.registry_memory import MemoryRegistry, digest_of
from tests.oci.trust.workshop import REF, PrivateKey, key, openssl, pem, private_pem

IMAGE = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
DIGEST = digest_of(IMAGE)


async def filled() -> MemoryRegistry:
    registry = MemoryRegistry()
    await registry.push_manifest(REF, IMAGE, OCI_INDEX)
    return registry


async def verdict(registry: MemoryRegistry, where: Path, private: PrivateKey) -> str:
    (where / "signing.pub").write_text(pem(private))
    policy = TrustPolicy.parse("default: {anyOf: [{key: signing.pub}]}", where=str(where / "policy.yaml"))
    return (await Verifier(policy=policy, client=registry, verdicts=None).check(REF, DIGEST)).by


@pytest.mark.parametrize(
    "private",
    [
        key(),
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate(),
    ],
)
async def test_what_is_signed_is_trusted(tmp_path: Path, private: PrivateKey) -> None:
    registry = await filled()
    (tmp_path / "signing.key").write_bytes(private_pem(private))
    signature = await sign(registry, REF, DIGEST, key=tmp_path / "signing.key")
    assert (signature.image, signature.legacy) == (REF.at(DIGEST), None)
    assert await verdict(registry, tmp_path, private) == "key signing.pub"


async def test_the_older_form_alone_is_trusted(tmp_path: Path) -> None:
    registry, private = await filled(), ec.generate_private_key(ec.SECP384R1())
    (tmp_path / "signing.key").write_bytes(private_pem(private))
    signature = await sign(registry, REF, DIGEST, key=tmp_path / "signing.key", legacy=True)
    assert signature.legacy == REF.tagged(f"{DIGEST.replace(':', '-')}.sig")
    del registry.manifests[REF.name, signature.bundle.digest]
    assert await verdict(registry, tmp_path, private) == "key signing.pub"


async def test_signing_again_adds_nothing(tmp_path: Path) -> None:
    registry = await filled()
    (tmp_path / "signing.key").write_bytes(private_pem(key()))
    await sign(registry, REF, DIGEST, key=tmp_path / "signing.key", legacy=True)
    held = dict(registry.manifests), dict(registry.blobs)
    await sign(registry, REF, DIGEST, key=tmp_path / "signing.key", legacy=True)
    assert (registry.manifests, registry.blobs) == held


async def test_a_second_signer_joins_the_first(tmp_path: Path) -> None:
    registry, first, second = await filled(), key(), key()
    for private in (first, second):
        (tmp_path / "signing.key").write_bytes(private_pem(private))
        signature = await sign(registry, REF, DIGEST, key=tmp_path / "signing.key", legacy=True)
        del registry.manifests[REF.name, signature.bundle.digest]
    assert await verdict(registry, tmp_path, first) == await verdict(registry, tmp_path, second) == "key signing.pub"


async def test_an_encrypted_key_needs_its_password(tmp_path: Path) -> None:
    registry, private, file = await filled(), key(), tmp_path / "signing.key"
    file.write_bytes(private_pem(private, b"secret"))
    with pytest.raises(InvalidSpec, match="give its password in CONDUCTOR_SIGNING_PASSWORD"):
        await sign(registry, REF, DIGEST, key=file)
    with pytest.raises(InvalidSpec, match="its password is wrong"):
        await sign(registry, REF, DIGEST, key=file, password=b"other")
    await sign(registry, REF, DIGEST, key=file, password=b"secret")
    assert await verdict(registry, tmp_path, private) == "key signing.pub"


async def test_a_password_that_a_key_does_not_need_is_left_alone(tmp_path: Path) -> None:
    registry = await filled()
    (tmp_path / "signing.key").write_bytes(private_pem(key()))
    await sign(registry, REF, DIGEST, key=tmp_path / "signing.key", password=b"secret")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n", "encrypted in cosign's own way"),
        ("-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----\n", "encrypted in cosign's own way"),
        ("nothing", "is no private key in PEM"),
        (pem(key()), "is no private key in PEM"),
        (private_pem(ec.generate_private_key(ec.SECP224R1())).decode(), "that no policy takes"),
    ],
)
async def test_keys_that_cannot_sign_are_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "signing.key").write_text(text)
    with pytest.raises(InvalidSpec, match=told):
        await sign(await filled(), REF, DIGEST, key=tmp_path / "signing.key")


async def test_a_key_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec, match="No such file"):
        await sign(await filled(), REF, DIGEST, key=tmp_path / "signing.key")


async def test_what_is_not_there_is_not_signed(tmp_path: Path) -> None:
    (tmp_path / "signing.key").write_bytes(private_pem(key()))
    with pytest.raises(ImageNotFound):
        await sign(MemoryRegistry(), REF, DIGEST, key=tmp_path / "signing.key")


async def test_the_key_that_refusals_advise_is_taken(tmp_path: Path) -> None:
    assert ADVICE.startswith("openssl ")
    openssl(tmp_path, f"{ADVICE.removeprefix('openssl ')} -pass pass:secret")
    printed = openssl(tmp_path, "pkey -in signing.key -passin pass:secret -pubout")
    registry = await filled()
    await sign(registry, REF, DIGEST, key=tmp_path / "signing.key", password=b"secret")
    (tmp_path / "signing.pub").write_text(printed)
    policy = TrustPolicy.parse("default: {anyOf: [{key: signing.pub}]}", where=str(tmp_path / "policy.yaml"))
    verdict = await Verifier(policy=policy, client=registry, verdicts=None).check(REF, DIGEST)
    assert verdict.by == "key signing.pub"
