"""The whole road: a rule, a registry, the judging child, a verdict. One row for each fault."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from conductor.errors import ImageUntrusted, RegistryAway, RegistryRefused
from conductor.oci.trust.policy import TrustPolicy
from conductor.oci.trust.verifier import Verdict, Verifier
from tests.fakes.registry_memory import MANIFEST, MemoryRegistry
from tests.oci.trust.workshop import (
    DIGEST,
    OTHER_DIGEST,
    REF,
    bundle,
    key,
    payload,
    pem,
    put_legacy,
    put_referrer,
    simple,
    statement,
)

Verifiers = Callable[..., Verifier]
MINE, YOURS, STRANGE = key(), key(), key()


@pytest.fixture
def registry() -> MemoryRegistry:
    return MemoryRegistry()


@pytest.fixture
def verifier(tmp_path: Path, registry: MemoryRegistry) -> Verifiers:
    (tmp_path / "mine.pub").write_text(pem(MINE))
    (tmp_path / "yours.pub").write_text(pem(YOURS))

    def make(demand: str = "anyOf: [{key: mine.pub}]") -> Verifier:
        text = f"rules: [{{images: {REF.registry}/acme, {demand}}}]"
        policy = TrustPolicy.parse(text, where=str(tmp_path / "policy.yaml"))
        return Verifier(policy=policy, client=registry, verdicts=tmp_path / "verdicts")

    return make


async def refusal(verifier: Verifier) -> str:
    with pytest.raises(ImageUntrusted) as caught:
        await verifier.check(REF, DIGEST)
    return str(caught.value)


async def test_unsigned(verifier: Verifiers) -> None:
    assert await refusal(verifier()) == (
        f"registry.example/acme/tool@{DIGEST}: the rule for registry.example/acme in the image policy wants a signature"
        " by key mine.pub; found no signature"
    )


async def test_signed_by_a_bundle(verifier: Verifiers, registry: MemoryRegistry) -> None:
    await put_referrer(registry, bundle(MINE))
    assert await verifier().check(REF, DIGEST) == Verdict(allowed=True, by="key mine.pub")


async def test_signed_by_the_sig_tag(verifier: Verifiers, registry: MemoryRegistry) -> None:
    await put_legacy(registry, simple(STRANGE), simple(MINE))
    assert (await verifier().check(REF, DIGEST)).by == "key mine.pub"


async def test_signed_where_referrers_are_not_listed(verifier: Verifiers, registry: MemoryRegistry) -> None:
    registry.lists_referrers = False
    await put_referrer(registry, bundle(MINE))
    assert (await verifier().check(REF, DIGEST)).by == "key mine.pub"


async def test_the_tag_is_read_where_referrers_are_listed_too(verifier: Verifiers, registry: MemoryRegistry) -> None:
    """A registry that learnt to list referrers after the signature was listed under the tag."""
    registry.lists_referrers = False
    await put_referrer(registry, bundle(MINE), digest=OTHER_DIGEST)
    tagged = registry.manifests.pop((REF.name, OTHER_DIGEST.replace(":", "-")))
    registry.manifests[REF.name, DIGEST.replace(":", "-")] = tagged
    [at] = [each["digest"] for each in tagged.parsed["manifests"]]
    layer = registry.manifests[REF.name, at].parsed["layers"][0]["digest"]
    assert (REF.name, layer) in registry.blobs
    registry.lists_referrers = True
    assert (await verifier().check(REF, DIGEST)).by == "key mine.pub"


async def test_a_wrong_artifact_type_hides_nothing(verifier: Verifiers, registry: MemoryRegistry) -> None:
    await put_referrer(registry, bundle(MINE), artifact_type="application/vnd.oci.empty.v1+json")
    assert (await verifier().check(REF, DIGEST)).by == "key mine.pub"


async def test_wrongly_signed(verifier: Verifiers, registry: MemoryRegistry) -> None:
    await put_referrer(registry, bundle(STRANGE))
    assert (await refusal(verifier())).endswith("found a signature by another key")


async def test_for_another_digest(verifier: Verifiers, registry: MemoryRegistry) -> None:
    await put_referrer(registry, bundle(MINE, statement(OTHER_DIGEST)))
    told = await refusal(verifier())
    assert told.endswith(f"found a signature by key mine.pub, but it is for another digest, {OTHER_DIGEST}")


async def test_tampered_payload(verifier: Verifiers, registry: MemoryRegistry) -> None:
    _, annotations = simple(MINE, payload(OTHER_DIGEST))
    await put_legacy(registry, (payload(), annotations))
    assert (await refusal(verifier())).endswith("found a signature by another key")


async def test_a_blob_that_is_not_its_digest(verifier: Verifiers, registry: MemoryRegistry) -> None:
    await put_referrer(registry, bundle(MINE))
    for at in registry.blobs:
        registry.blobs[at] += b" "
    assert "found something damaged (sha256:" in await refusal(verifier())


async def test_wrong_predicate(verifier: Verifiers, registry: MemoryRegistry) -> None:
    await put_referrer(registry, bundle(MINE, statement(predicate="https://spdx.dev/Document")))
    assert "but it is an attestation (https://spdx.dev/Document), which is no signature" in await refusal(verifier())


async def test_two_bundles_one_good(verifier: Verifiers, registry: MemoryRegistry) -> None:
    await put_referrer(registry, bundle(STRANGE))
    await put_referrer(registry, bundle(MINE))
    assert (await verifier().check(REF, DIGEST)).by == "key mine.pub"


async def test_all_of_missing_one(verifier: Verifiers, registry: MemoryRegistry) -> None:
    await put_referrer(registry, bundle(MINE))
    told = await refusal(verifier("allOf: [{key: mine.pub}, {key: yours.pub}]"))
    assert "wants signatures by key mine.pub and key yours.pub; found a good signature by key mine.pub" in told


async def test_all_of_met_by_two_forms(verifier: Verifiers, registry: MemoryRegistry) -> None:
    await put_referrer(registry, bundle(MINE))
    await put_legacy(registry, simple(YOURS))
    verdict = await verifier("allOf: [{key: mine.pub}, {key: yours.pub}]").check(REF, DIGEST)
    assert verdict.by == "key mine.pub, key yours.pub"


async def test_audit_lets_it_run_and_says_what_was_wrong(verifier: Verifiers) -> None:
    verdict = await verifier("mode: audit, anyOf: [{key: mine.pub}]").check(REF, DIGEST)
    assert verdict.allowed
    assert "found no signature" in verdict.audited
    assert verdict.by == f"nobody (audit): {verdict.audited}"


async def test_an_audited_image_is_refused_once_the_rule_enforces(verifier: Verifiers) -> None:
    await verifier("mode: audit, anyOf: [{key: mine.pub}]").check(REF, DIGEST)
    assert "found no signature" in await refusal(verifier())


async def test_reject_all(verifier: Verifiers, registry: MemoryRegistry) -> None:
    assert "accepts no image at all from there" in await refusal(verifier("reject: all"))
    assert registry.asked == []


async def test_accept_any_asks_nobody(verifier: Verifiers, registry: MemoryRegistry) -> None:
    verdict = await verifier("accept: any").check(REF, DIGEST)
    assert (verdict.by, registry.asked) == ("the rule for registry.example/acme, which accepts any", [])


async def test_no_policy(registry: MemoryRegistry) -> None:
    verifier = Verifier(policy=TrustPolicy.absent(), client=registry, verdicts=None)
    assert await verifier.check(REF, DIGEST) == Verdict(allowed=True, by="no policy")


async def test_a_failing_registry_is_told_as_such(verifier: Verifiers, registry: MemoryRegistry) -> None:
    registry.failing[f"referrers of {DIGEST}"] = RegistryAway("503")
    with pytest.raises(RegistryAway):
        await verifier().check(REF, DIGEST)


async def test_what_is_found_elsewhere_makes_up_for_a_failing_place(
    verifier: Verifiers, registry: MemoryRegistry
) -> None:
    registry.failing[f"referrers of {DIGEST}"] = RegistryAway("503")
    await put_legacy(registry, simple(MINE))
    assert (await verifier().check(REF, DIGEST)).by == "key mine.pub"


async def test_a_place_that_is_forbidden_is_told(verifier: Verifiers, registry: MemoryRegistry) -> None:
    registry.failing[f"{DIGEST.replace(':', '-')}.sig"] = RegistryRefused("403")
    assert "a place that the registry does not let us look at (403)" in await refusal(verifier())


async def test_notation_is_named(verifier: Verifiers, registry: MemoryRegistry) -> None:
    await put_referrer(registry, b"{}", artifact_type="application/vnd.cncf.notary.signature")
    assert "found a Notation signature, which is not supported" in await refusal(verifier())


async def test_a_heap_of_referrers_is_looked_at_in_part(verifier: Verifiers, registry: MemoryRegistry) -> None:
    for at in range(70):
        body = {"subject": {"digest": DIGEST}, "layers": [], "artifactType": f"application/x-{at}"}
        await registry.push_manifest(REF.at(""), json.dumps(body).encode(), MANIFEST)
    assert "70 referrers, of which 64 were looked at" in await refusal(verifier())
    await put_referrer(registry, bundle(MINE))
    assert (await verifier().check(REF, DIGEST)).by == "key mine.pub"


async def test_a_signature_past_the_ceiling_is_not_fetched(verifier: Verifiers, registry: MemoryRegistry) -> None:
    await put_referrer(registry, bundle(MINE, statement(predicate="x" * (1 << 20))))
    assert "more or larger signatures than are looked at" in await refusal(verifier())


async def test_a_verdict_is_kept_for_digest_and_rule(verifier: Verifiers, registry: MemoryRegistry) -> None:
    await put_referrer(registry, bundle(MINE))
    await verifier().check(REF, DIGEST)
    asked = len(registry.asked)
    again = verifier()
    assert await again.check(REF, DIGEST) == Verdict(allowed=True, by="key mine.pub")
    assert (len(registry.asked), again.verdicts.hits) == (asked, 1)
    assert "found a signature by another key" in await refusal(verifier("anyOf: [{key: yours.pub}]"))
    assert len(registry.asked) > asked


async def test_a_refusal_is_not_kept(verifier: Verifiers, registry: MemoryRegistry) -> None:
    refusing = verifier()
    await refusal(refusing)
    await put_referrer(registry, bundle(MINE))
    assert (await refusing.check(REF, DIGEST)).by == "key mine.pub"


async def test_a_key_of_another_kind_is_judged_beside_it(tmp_path: Path, registry: MemoryRegistry) -> None:
    other = ec.generate_private_key(ec.SECP384R1())
    (tmp_path / "p384.pub").write_text(pem(other))
    (tmp_path / "mine.pub").write_text(pem(MINE))
    text = "default: {anyOf: [{key: mine.pub}, {key: p384.pub}]}"
    policy = TrustPolicy.parse(text, where=str(tmp_path / "policy.yaml"))
    await put_legacy(registry, simple(other))
    verdict = await Verifier(policy=policy, client=registry, verdicts=None).check(REF, DIGEST)
    assert verdict.by == "key p384.pub"
