"""What the real cosign signs is trusted here, and what is signed here it verifies; through our registry client.

Two registries: crane's, which lists no referrers, and the fake that does. `nox -s registry` names the binaries.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from conductor.errors import ImageUntrusted, InvalidSpec
from conductor.model.reference import Reference
from conductor.oci.client import RegistryClient
from conductor.oci.media_types import OCI_INDEX, OCI_MANIFEST
from conductor.oci.trust.policy import TrustPolicy
from conductor.oci.trust.sign import sign
from conductor.oci.trust.verifier import Verifier
from tests.fakes.registry import FakeRegistry
from tests.oci.asking import client_of
from tests.oci.trust.authority import ISSUER, SUBJECT, Authority
from tests.oci.trust.cosign import Cosign, crane_registry
from tests.oci.trust.timestamper import TimeStamper
from tests.oci.trust.workshop import PrivateKey, key, payload, pem, private_pem, put_legacy, put_referrer, statement

pytestmark = pytest.mark.registry


@pytest.fixture
def cosign(tmp_path: Path) -> Cosign:
    cosign = Cosign(Path(os.environ["CONDUCTOR_COSIGN"]), tmp_path)
    cosign.does("generate-key-pair")
    return cosign


@pytest.fixture(scope="module")
def crane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with crane_registry(tmp_path_factory.mktemp("crane") / "log") as address:
        yield address


class Image:
    """An index with one image below it, pushed, and what is asked of it."""

    def __init__(self, client: RegistryClient, ref: Reference, digest: str) -> None:
        self.client, self.ref, self.digest = client, ref, digest
        self.name = str(ref.at(digest))

    async def by(self, policy: Path, signer: str = "") -> str:
        """Who signed it, by a policy that lies there or one that wants this key."""
        file = policy / "policy.yaml"
        text = f"default: {{anyOf: [{{key: {signer}}}]}}" if signer else file.read_text()
        trust = TrustPolicy.parse(text, where=str(file))
        verifier = Verifier(policy=trust, client=self.client, verdicts=None)
        return (await verifier.check(self.ref, self.digest)).by


@asynccontextmanager
async def pushed(address: str, name: str) -> AsyncIterator[Image]:
    async with client_of() as client:
        ref = Reference.parse(f"{address}/team/{name}:v1")
        config = await client.push_blob(ref, b'{"architecture": "amd64", "os": "linux"}')
        layer = await client.push_blob(ref, name.encode())
        words = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": config.printed() | {"mediaType": "application/vnd.oci.image.config.v1+json"},
            "layers": [layer.printed() | {"mediaType": "application/vnd.oci.image.layer.v1.tar"}],
        }
        below = json.dumps(words).encode()
        digest = await client.push_manifest(ref.tagged("part"), below, OCI_MANIFEST)
        part = {"mediaType": OCI_MANIFEST, "digest": digest, "size": len(below)}
        index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [part]}).encode()
        yield Image(client, ref, await client.push_manifest(ref, index, OCI_INDEX))


@asynccontextmanager
async def registry(which: str, crane: str) -> AsyncIterator[str]:
    if which == "crane":
        yield crane
        return
    async with FakeRegistry.serving() as fake:
        yield fake.address


BOTH = pytest.mark.parametrize("which", ["crane", "referrers"])


@BOTH
@pytest.mark.parametrize("form", [(), ("--new-bundle-format=false",)], ids=["bundle", "legacy"])
async def test_what_cosign_signs_is_trusted(cosign: Cosign, crane: str, which: str, form: tuple[str, ...]) -> None:
    async with registry(which, crane) as address, pushed(address, f"theirs{len(form)}") as image:
        with pytest.raises(ImageUntrusted, match="found no signature"):
            await image.by(cosign.home, "cosign.pub")
        await asyncio.to_thread(cosign.sign, image.name, *form)
        assert await image.by(cosign.home, "cosign.pub") == "key cosign.pub"


@BOTH
async def test_what_cosign_attests_is_no_signature(cosign: Cosign, crane: str, which: str) -> None:
    async with registry(which, crane) as address, pushed(address, "attested") as image:
        await asyncio.to_thread(cosign.attest, image.name)
        with pytest.raises(ImageUntrusted, match="it is an attestation"):
            await image.by(cosign.home, "cosign.pub")
        await asyncio.to_thread(cosign.sign, image.name)
        assert await image.by(cosign.home, "cosign.pub") == "key cosign.pub"


@BOTH
@pytest.mark.parametrize("kind", ["P-256", "P-384", "RSA", "Ed25519"])
async def test_cosign_verifies_what_is_signed_here(cosign: Cosign, crane: str, which: str, kind: str) -> None:
    private, file = KINDS[kind], cosign.home / "signing.key"
    file.write_bytes(private_pem(private))
    (cosign.home / "signing.pub").write_text(pem(private))
    async with registry(which, crane) as address, pushed(address, f"ours{kind.lower()}") as image:
        assert await asyncio.to_thread(cosign.verified, image.name, "signing.pub")
        await sign(image.client, image.ref, image.digest, key=file)
        # cosign 3.1 signs bundles by what the curve asks for, and must be told so to verify its own.
        by_curve = ("--signature-digest-algorithm=sha384",) if kind == "P-384" else ()
        assert not await asyncio.to_thread(cosign.verified, image.name, "signing.pub", *by_curve)
        assert await asyncio.to_thread(cosign.verified, image.name, "cosign.pub")
        assert await image.by(cosign.home, "signing.pub") == "key signing.pub"


@pytest.mark.parametrize("kind", ["P-256", "P-384", "RSA", "Ed25519"])
async def test_cosign_verifies_the_older_form_too(cosign: Cosign, crane: str, kind: str) -> None:
    private, file = KINDS[kind], cosign.home / "signing.key"
    file.write_bytes(private_pem(private))
    (cosign.home / "signing.pub").write_text(pem(private))
    async with pushed(crane, f"older{kind.lower()}") as image:
        await sign(image.client, image.ref, image.digest, key=file, legacy=True)
        old = "--new-bundle-format=false"
        assert not await asyncio.to_thread(cosign.verified, image.name, "signing.pub", old)
        assert await asyncio.to_thread(cosign.verified, image.name, "cosign.pub", old)


async def test_a_signer_here_joins_cosigns_sig_tag(cosign: Cosign, crane: str) -> None:
    (cosign.home / "signing.key").write_bytes(private_pem(KINDS["P-256"]))
    (cosign.home / "signing.pub").write_text(pem(KINDS["P-256"]))
    async with pushed(crane, "joined") as image:
        old = "--new-bundle-format=false"
        await asyncio.to_thread(cosign.sign, image.name, old)
        await sign(image.client, image.ref, image.digest, key=cosign.home / "signing.key", legacy=True)
        for public in ("signing.pub", "cosign.pub"):
            assert not await asyncio.to_thread(cosign.verified, image.name, public, old)
            assert await image.by(cosign.home, public) == f"key {public}"


async def test_what_cosign_signs_with_a_key_it_took_over_is_trusted(cosign: Cosign, crane: str) -> None:
    (cosign.home / "signing.key").write_bytes(private_pem(KINDS["P-384"]))
    await asyncio.to_thread(cosign.does, "import-key-pair", "--key", "signing.key", "--output-key-prefix", "both")
    (cosign.home / "both.key").rename(cosign.home / "cosign.key")
    async with pushed(crane, "both") as image:
        await asyncio.to_thread(cosign.sign, image.name)
        assert await image.by(cosign.home, "both.pub") == "key both.pub"


ACME = Authority()
"""What it makes is anchored here: the real cosign must take it, so that tests with it tell the truth."""


@pytest.mark.parametrize("form", ["bundle", "legacy", "stamped"])
async def test_cosign_takes_what_our_authority_certifies(cosign: Cosign, crane: str, tmp_path: Path, form: str) -> None:
    stamper = TimeStamper(tmp_path)
    root = json.loads(ACME.trusted_root) | {"timestampAuthorities": [stamper.described]}
    (tmp_path / "root.json").write_text(json.dumps(root))
    (tmp_path / "policy.yaml").write_text(
        f"default: {{anyOf: [{{issuer: '{ISSUER}', subject: {SUBJECT}}}], trustedRoot: root.json}}"
    )
    async with pushed(crane, f"identity-{form}") as image:
        who = ACME.certified()
        match form:
            case "bundle":
                await put_referrer(image.client, ACME.bundle(who, statement(image.digest)), image.ref, image.digest)
            case "stamped":
                just = ACME.certified(since=datetime.now(UTC) - timedelta(minutes=1))
                bundle = ACME.stamped_bundle(just, stamper, said=statement(image.digest))
                await put_referrer(image.client, bundle, image.ref, image.digest)
            case _:
                await put_legacy(
                    image.client, ACME.simple(who, payload(image.digest)), ref=image.ref, digest=image.digest
                )
        assert await image.by(tmp_path) == f"identity {SUBJECT} ({ISSUER})"
        assert not await asyncio.to_thread(cosign.knows, image.name, SUBJECT)
        assert await asyncio.to_thread(cosign.knows, image.name, "eve@acme.example")


async def test_cosigns_own_keys_are_refused_with_a_way_out(cosign: Cosign, crane: str) -> None:
    async with pushed(crane, "refused") as image:
        with pytest.raises(InvalidSpec, match="sign with `cosign sign --key`"):
            await sign(image.client, image.ref, image.digest, key=cosign.home / "cosign.key")


KINDS: dict[str, PrivateKey] = {
    "P-256": key(),
    "P-384": ec.generate_private_key(ec.SECP384R1()),
    "RSA": rsa.generate_private_key(65537, 2048),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
}
