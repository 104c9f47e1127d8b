"""Make keys and signatures as other tools lay them out, good ones and bad ones."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from conductor.model.image import Descriptor
from conductor.model.reference import Reference
from conductor.oci.trust.claims import IN_TOTO, SIGN, pae
from conductor.oci.trust.evidence import SIMPLE_TYPE
from tests.fakes.registry_memory import INDEX, MANIFEST, MemoryRegistry

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
REF = Reference.parse("registry.example/acme/tool:v1")
DIGEST = f"sha256:{'1d' * 32}"
OTHER_DIGEST = f"sha256:{'0e' * 32}"


def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def pem(private: PrivateKey) -> str:
    kinds = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return private.public_key().public_bytes(*kinds).decode()


def private_pem(private: PrivateKey, password: bytes = b"") -> bytes:
    shut = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, shut)


def openssl(where: Path, words: str) -> str:
    return subprocess.run(["openssl", *words.split()], cwd=where, check=True, capture_output=True).stdout.decode()


def signed(private: PrivateKey, message: bytes, algorithm: hashes.HashAlgorithm | None = None) -> bytes:
    match private:
        case ec.EllipticCurvePrivateKey():
            return private.sign(message, ec.ECDSA(algorithm or hashes.SHA256()))
        case rsa.RSAPrivateKey():
            return private.sign(message, padding.PKCS1v15(), algorithm or hashes.SHA256())
        case ed25519.Ed25519PrivateKey():
            return private.sign(message)


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def payload(digest: str = DIGEST) -> bytes:
    critical = {
        "identity": {"docker-reference": REF.name},
        "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature",
    }
    return json.dumps({"critical": critical, "optional": None}).encode()


def statement(digest: str = DIGEST, predicate: str = SIGN) -> bytes:
    subject = [{"digest": {"sha256": digest.removeprefix("sha256:")}}]
    said = {"_type": "https://in-toto.io/Statement/v1", "subject": subject, "predicateType": predicate, "predicate": {}}
    return json.dumps(said).encode()


def envelope(private: PrivateKey, said: bytes) -> dict[str, Any]:
    return {
        "payload": text(said),
        "payloadType": IN_TOTO,
        "signatures": [{"sig": text(signed(private, pae(IN_TOTO, said)))}],
    }


def bundle(private: PrivateKey, said: bytes | None = None, media_type: str = BUNDLE) -> bytes:
    return json.dumps(
        {
            "mediaType": media_type,
            "verificationMaterial": {"publicKey": {"hint": "any"}},
            "dsseEnvelope": envelope(private, said or statement()),
        }
    ).encode()


class Writable(Protocol):
    """What both the fake in memory and our client can do."""

    async def push_blob(self, ref: Reference, data: bytes) -> Descriptor: ...
    async def push_manifest(self, ref: Reference, body: bytes, media_type: str) -> str: ...


async def put_referrer(
    registry: Writable, body: bytes, ref: Reference = REF, digest: str = DIGEST, *, artifact_type: str = BUNDLE
) -> None:
    """Attach a bundle as cosign 3 does; where the fake lists no referrers, list it under the tag."""
    blob = await registry.push_blob(ref, body)
    empty = await registry.push_blob(ref, b"{}")
    layer = blob.printed() | {"mediaType": BUNDLE}
    subject = {"mediaType": INDEX, "digest": digest, "size": 2}
    manifest = _manifest([layer], empty, artifactType=artifact_type, subject=subject)
    at = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
    await registry.push_manifest(ref.at(at), manifest, MANIFEST)
    if isinstance(registry, MemoryRegistry) and not registry.lists_referrers:
        listed = [{"mediaType": MANIFEST, "digest": at, "size": len(manifest)}]
        index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}).encode()
        await registry.push_manifest(ref.tagged(digest.replace(":", "-")), index, INDEX)


async def put_legacy(
    registry: Writable,
    *signatures: tuple[bytes, Mapping[str, str]],
    ref: Reference = REF,
    digest: str = DIGEST,
) -> None:
    """Tag simple-signing layers as cosign 2 does."""
    layers = []
    for said, notes in signatures:
        blob = await registry.push_blob(ref, said)
        layers.append(blob.printed() | {"mediaType": SIMPLE_TYPE, "annotations": dict(notes)})
    empty = await registry.push_blob(ref, b"{}")
    tag = ref.tagged(f"{digest.replace(':', '-')}.sig")
    await registry.push_manifest(tag, _manifest(layers, empty), MANIFEST)


def simple(private: PrivateKey, said: bytes | None = None) -> tuple[bytes, Mapping[str, str]]:
    said = said or payload()
    return said, {"dev.cosignproject.cosign/signature": text(signed(private, said))}


def _manifest(layers: list[Any], config: Descriptor, **more: Any) -> bytes:
    empty = config.printed() | {"mediaType": "application/vnd.oci.empty.v1+json"}
    return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": empty, "layers": layers} | more).encode()
