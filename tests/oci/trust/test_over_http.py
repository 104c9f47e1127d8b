"""Verification through the real client: credentials go along, and a registry that fails on the way is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conductor.errors import ImageUntrusted, RegistryAway
from conductor.model.image import Credentials
from conductor.model.reference import Reference
from conductor.oci.media_types import OCI_INDEX
from conductor.oci.trust.policy import TrustPolicy
from conductor.oci.trust.sign import sign
from conductor.oci.trust.verifier import Verifier
from tests.fakes.registry import FakeRegistry, digest_of
from tests.oci.asking import client_of
from tests.oci.trust.workshop import key, pem, private_pem

BOB = Credentials("bob", "secret")
IMAGE = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
DIGEST = digest_of(IMAGE)


@pytest.fixture
def policy(tmp_path: Path) -> TrustPolicy:
    private = key()
    (tmp_path / "signing.key").write_bytes(private_pem(private))
    (tmp_path / "signing.pub").write_text(pem(private))
    return TrustPolicy.parse("default: {anyOf: [{key: signing.pub}]}", where=str(tmp_path / "policy.yaml"))


@pytest.mark.parametrize("tokens", [True, False], ids=["tokens", "basic"])
@pytest.mark.parametrize("api", [True, False], ids=["listed", "tagged"])
async def test_credentials_go_along(tmp_path: Path, policy: TrustPolicy, *, tokens: bool, api: bool) -> None:
    async with (
        FakeRegistry.serving(users={"bob": "secret"}, tokens=tokens, referrers_api=api) as registry,
        client_of() as client,
    ):
        registry.put_manifest("team/tool", "v1", IMAGE, OCI_INDEX)
        ref = Reference.parse(f"{registry.address}/team/tool:v1")
        await sign(client, ref, DIGEST, key=tmp_path / "signing.key", credentials=BOB)
        verifier = Verifier(policy=policy, client=client, verdicts=None)
        assert (await verifier.check(ref, DIGEST, credentials=BOB)).by == "key signing.pub"
        with pytest.raises(ImageUntrusted, match="a place that the registry does not let us look at"):
            await verifier.check(ref, DIGEST)


async def test_a_registry_that_fails_is_asked_again_later(policy: TrustPolicy) -> None:
    async with FakeRegistry.serving() as registry, client_of() as client:
        registry.faults.statuses = [503] * 99
        ref = Reference.parse(f"{registry.address}/team/tool:v1")
        with pytest.raises(RegistryAway):
            await Verifier(policy=policy, client=client, verdicts=None).check(ref, DIGEST)
