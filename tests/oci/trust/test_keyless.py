"""Signatures by identity, against an authority and logs of our own; each fault has its sentence."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from conductor.errors import ImageUntrusted, InvalidConfig
from conductor.oci.trust.evidence import BundleEvidence, Evidence, SimpleEvidence
from conductor.oci.trust.judge import Case, Finding, judge
from conductor.oci.trust.policy import TrustPolicy
from conductor.oci.trust.signers import IdentitySigner
from conductor.oci.trust.verifier import Verifier
from tests.fakes.registry_memory import MemoryRegistry
from tests.oci.trust.authority import ISSUER, NOW, SUBJECT, Authority, Signed
from tests.oci.trust.workshop import DIGEST, OTHER_DIGEST, REF, key, payload, put_referrer, statement, text

LATE = NOW + timedelta(minutes=11)
ACME, EVIL = Authority(), Authority()
ADA, EVE = ACME.certified(), ACME.certified(subject="eve@acme.example")
WANTED = IdentitySigner(issuer=ISSUER, subject=SUBJECT)


def judged(*pieces: Evidence, signer: IdentitySigner = WANTED, digest: str = DIGEST) -> Finding:
    return judge(Case(digest, (signer,), ACME.trusted_root, pieces))


def bundle(who: Signed = ADA, said: bytes | None = None, **bad: object) -> Evidence:
    return BundleEvidence(ACME.bundle(who, said, **bad))  # type: ignore[arg-type]


def simple(who: Signed = ADA, said: bytes | None = None, **bad: object) -> Evidence:
    return SimpleEvidence.read(*ACME.simple(who, said, **bad))  # type: ignore[arg-type]


def changed(**parts: str) -> Evidence:
    said, notes = ACME.simple(ADA)
    names = {"rekor": "dev.sigstore.cosign/bundle", "certificate": "dev.sigstore.cosign/certificate"}
    return SimpleEvidence.read(said, {**notes, **{names[name]: value for name, value in parts.items()}})


def edited(change: Callable[[dict[str, object]], object]) -> Evidence:
    body = json.loads(ACME.bundle(ADA))
    change(body)
    return BundleEvidence(json.dumps(body).encode())


@pytest.mark.parametrize("piece", [bundle(), simple()])
def test_both_forms_by_an_identity_are_good(piece: Evidence) -> None:
    assert judged(piece) == Finding({0: f"identity {SUBJECT} ({ISSUER})"}, [])


def test_a_message_signature_by_an_identity_is_good() -> None:
    piece = BundleEvidence(ACME.message_bundle(ADA, b"{}"))
    assert judged(piece, digest=f"sha256:{hashlib.sha256(b'{}').hexdigest()}").signed.keys() == {0}
    assert "but it is for another digest" in judged(piece).found[0]


@pytest.mark.parametrize(
    "signer",
    [
        IdentitySigner(issuer=ISSUER, subject_pattern="*@acme.example"),
        IdentitySigner(issuer_pattern="https://*", subject=SUBJECT),
    ],
)
def test_patterns_name_identities(signer: IdentitySigner) -> None:
    assert judged(bundle(), simple(), signer=signer).signed.keys() == {0}


def test_a_workflow_is_an_identity() -> None:
    workflow = "https://github.com/acme/tool/.github/workflows/release.yaml@refs/heads/main"
    signer = IdentitySigner(issuer=ISSUER, subject_pattern="https://github.com/acme/*")
    assert judged(bundle(ACME.certified(subject=workflow)), signer=signer).signed.keys() == {0}


BAD: dict[str, tuple[Evidence, str]] = {
    "another subject": (bundle(EVE), f"by another identity, eve@acme.example ({ISSUER})"),
    "another subject, older form": (simple(EVE), f"by another identity, eve@acme.example ({ISSUER})"),
    "another issuer": (bundle(ACME.certified(issuer="https://evil.example")), "(https://evil.example)"),
    "expired": (bundle(at=LATE), "its certificate was not valid when it was signed"),
    "expired, older form": (simple(at=LATE), "its certificate was not valid when it was signed"),
    "another authority": (bundle(EVIL.certified()), "by no authority of the trusted root"),
    "another authority, older form": (simple(EVIL.certified()), "by no authority of the trusted root"),
    "a certificate that no log knows": (bundle(ACME.certified(ct_key=key())), "SCT"),
    "a certificate that no log knows, older form": (simple(ACME.certified(ct_key=key())), "SCT"),
    "another log": (BundleEvidence(EVIL.bundle(ADA)), "invalid log entry"),
    "another log, older form": (SimpleEvidence.read(*EVIL.simple(ADA)), "no log of the trusted root promised"),
    "another key": (bundle(Signed(key(), ADA.certificate)), "DSSE: invalid signature"),
    "another key, older form": (simple(Signed(key(), ADA.certificate)), "certificate's key did not make it"),
    "another digest": (bundle(said=statement(OTHER_DIGEST)), f"but it is for another digest, {OTHER_DIGEST}"),
    "another digest, older form": (simple(said=payload(OTHER_DIGEST)), "but it is for another digest"),
    "an attestation": (bundle(said=statement(predicate="https://slsa.dev/provenance/v1")), "it is an attestation"),
    "an entry for something else": (simple(logged=b"else"), "the log recorded something else"),
    "a wrong proof": (bundle(inclusionProof={}), "its bundle cannot be read"),
    "no promise": (bundle(inclusionPromise=None), "must contain an inclusion promise or signed timestamp"),
    "no log entry": (edited(lambda body: body["verificationMaterial"].update(tlogEntries=[])), "exactly one log entry"),  # type: ignore[attr-defined]
    "no log entry, older form": (changed(rekor=""), "it comes without a log entry"),
    "a certificate exchanged": (changed(certificate=EVE.pem), "certificate's key did not make it"),
    "a log entry that is none": (changed(rekor="{}"), "a damaged signature"),
    "a certificate that is none": (changed(certificate="none"), "a damaged signature"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_fault_is_told(name: str) -> None:
    piece, told = BAD[name]
    finding = judged(piece)
    assert finding.signed == {}
    assert told in finding.found[0]


def test_a_moved_time_breaks_the_promise() -> None:
    piece = bundle(at=LATE, integratedTime=str(int(NOW.timestamp()) + 60))
    assert "SET: invalid inclusion promise" in judged(piece).found[0]


def test_a_changed_payload_is_not_what_was_signed() -> None:
    piece = edited(lambda body: body["dsseEnvelope"].update(payload=text(statement(OTHER_DIGEST))))  # type: ignore[attr-defined]
    assert "DSSE: invalid signature" in judged(piece).found[0]


def test_one_good_identity_among_bad_ones_counts() -> None:
    assert judged(*(piece for piece, _ in BAD.values()), bundle()).signed.keys() == {0}


def test_the_log_entry_must_be_of_this_signature() -> None:
    """An entry that the log really made for somebody else's signature says nothing about this one."""
    mine, theirs = json.loads(ACME.bundle(ADA)), json.loads(ACME.bundle(ADA, statement(OTHER_DIGEST)))
    mine["verificationMaterial"]["tlogEntries"] = theirs["verificationMaterial"]["tlogEntries"]
    assert base64.b64decode(mine["dsseEnvelope"]["payload"]) == statement()
    assert "payload hash does not match" in judged(BundleEvidence(json.dumps(mine).encode())).found[0]


async def test_a_policy_asks_for_an_identity(tmp_path: Path) -> None:
    (tmp_path / "root.json").write_text(ACME.trusted_root)
    text_ = f"""
trustedRoot: root.json
rules:
  - images: {REF.registry}
    anyOf: [{{issuer: "{ISSUER}", subjectPattern: "*@acme.example"}}]
"""
    registry = MemoryRegistry()
    policy = TrustPolicy.parse(text_, where=str(tmp_path / "policy.yaml"))
    verifier = Verifier(policy=policy, client=registry, verdicts=None)
    await put_referrer(registry, ACME.bundle(ACME.certified(subject="eve@evil.example")))
    with pytest.raises(ImageUntrusted, match=r"found a signature by another identity, eve@evil\.example"):
        await verifier.check(REF, DIGEST)
    await put_referrer(registry, ACME.bundle(ADA))
    assert (await verifier.check(REF, DIGEST)).by == f"identity {SUBJECT} ({ISSUER})"


def test_a_root_without_logs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "root.json").write_text(json.dumps(json.loads(ACME.trusted_root) | {"tlogs": []}))
    with pytest.raises(InvalidConfig, match=r"trustedRoot: is no TrustedRoot that can be used: .*Rekor keys"):
        TrustPolicy.parse("trustedRoot: root.json\ndefault: {accept: any}", where=str(tmp_path / "policy.yaml"))
