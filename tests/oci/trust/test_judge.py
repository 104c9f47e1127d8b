"""What the judge says of each piece of evidence, keys asked for."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from conductor.oci.trust.evidence import BundleEvidence, Evidence, SimpleEvidence
from conductor.oci.trust.judge import Case, Finding, judge
from conductor.oci.trust.signers import IdentitySigner, KeySigner
from tests.oci.trust.workshop import (
    DIGEST,
    OTHER_DIGEST,
    PrivateKey,
    bundle,
    envelope,
    key,
    payload,
    pem,
    signed,
    simple,
    statement,
    text,
)

MINE, OTHER = key(), key()
SIGNER = KeySigner("mine.pub", pem(MINE))


def judged(*pieces: Evidence, private: PrivateKey = MINE) -> Finding:
    return judge(Case(DIGEST, (KeySigner("mine.pub", pem(private)),), "", pieces))


def piece(private: PrivateKey, said: bytes | None = None) -> SimpleEvidence:
    return SimpleEvidence.read(*simple(private, said))


@pytest.mark.parametrize(
    "private", [MINE, ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()]
)
def test_both_forms_by_a_key_are_good(private: PrivateKey) -> None:
    assert judged(piece(private), private=private).signed == {0: "key mine.pub"}
    assert judged(BundleEvidence(bundle(private)), private=private).signed == {0: "key mine.pub"}


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.dev.sigstore.bundle+json;version=0.1",
        "application/vnd.dev.sigstore.bundle+json;version=0.2",
        "application/vnd.dev.sigstore.bundle+json;version=0.3",
        "application/vnd.dev.sigstore.bundle.v0.3+json",
    ],
)
def test_every_version_of_bundles_is_read(media_type: str) -> None:
    assert judged(BundleEvidence(bundle(MINE, media_type=media_type))).signed == {0: "key mine.pub"}


def test_a_message_signature_over_the_manifest_is_good() -> None:
    manifest = b"{}"
    digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    body = {
        "verificationMaterial": {"publicKey": {"hint": ""}},
        "messageSignature": {"signature": text(signed(MINE, manifest))},
    }
    pieces = (BundleEvidence(json.dumps(body).encode()),)
    assert judge(Case(digest, (SIGNER,), "", pieces)).signed == {0: "key mine.pub"}
    assert judge(Case(DIGEST, (SIGNER,), "", pieces)).signed == {}


def test_the_digest_may_be_any_of_the_subjects() -> None:
    said = json.loads(statement(OTHER_DIGEST))
    said["subject"] += json.loads(statement())["subject"]
    assert judged(BundleEvidence(bundle(MINE, json.dumps(said).encode()))).signed == {0: "key mine.pub"}


@pytest.mark.parametrize(
    ("evidence", "told"),
    [
        (piece(OTHER), "a signature by another key"),
        (BundleEvidence(bundle(OTHER)), "a signature by another key"),
        (piece(MINE, payload(OTHER_DIGEST)), f"by key mine.pub, but it is for another digest, {OTHER_DIGEST}"),
        (BundleEvidence(bundle(MINE, statement(OTHER_DIGEST))), f"it is for another digest, {OTHER_DIGEST}"),
        (SimpleEvidence.read(payload(), simple(MINE, payload(OTHER_DIGEST))[1]), "a signature by another key"),
        (BundleEvidence(bundle(MINE, statement(predicate="https://slsa.dev/provenance/v1"))), "it is an attestation"),
        (piece(MINE, b"{}"), "no simple-signing payload"),
        (piece(MINE, b"[]"), "no simple-signing payload"),
        (piece(MINE, b"[" * 100_000), "no simple-signing payload"),
        (BundleEvidence(bundle(MINE, b"{}")), "no in-toto statement"),
        (BundleEvidence(b"{"), "a damaged signature"),
        (BundleEvidence(b"[]"), "a damaged signature"),
        (BundleEvidence(b"{}"), "a damaged signature"),
        (BundleEvidence(b"[" * 1_000_000), "a damaged signature"),
        (BundleEvidence(b'{"verificationMaterial": 3, "dsseEnvelope": 4}'), "a damaged signature"),
        (SimpleEvidence(payload(), "no base64!"), "a damaged signature"),
        (SimpleEvidence(payload(), ""), "a signature by another key"),
    ],
)
def test_what_helps_nobody_is_told(evidence: Evidence, told: str) -> None:
    finding = judged(evidence)
    assert finding.signed == {}
    assert told in finding.found[0]


def test_a_changed_payload_type_breaks_the_signature() -> None:
    changed = envelope(MINE, statement()) | {"payloadType": "text/plain"}
    body = {"verificationMaterial": {}, "dsseEnvelope": changed}
    assert judged(BundleEvidence(json.dumps(body).encode())).found == ["a signature by another key"]


def test_one_good_piece_among_bad_ones_counts() -> None:
    bad = BundleEvidence(b"{"), BundleEvidence(bundle(OTHER)), piece(MINE, payload(OTHER_DIGEST))
    assert judged(*bad, BundleEvidence(bundle(MINE))).signed == {0: "key mine.pub"}


def test_every_signer_is_counted() -> None:
    signers = SIGNER, KeySigner("other.pub", pem(OTHER)), KeySigner("third.pub", pem(key()))
    finding = judge(Case(DIGEST, signers, "", (piece(MINE), BundleEvidence(bundle(OTHER)))))
    assert finding.signed == {0: "key mine.pub", 1: "key other.pub"}


def test_a_strangers_text_is_shown_short_and_printable() -> None:
    said = json.loads(statement())
    said["predicateType"] = "\x1b[31m" + "x" * 5000
    [told] = judged(BundleEvidence(bundle(MINE, json.dumps(said).encode()))).found
    assert len(told) < 400
    assert told.isprintable()


def test_a_key_does_not_stand_for_an_identity() -> None:
    anybody = IdentitySigner(issuer_pattern="*", subject_pattern="*")
    finding = judge(Case(DIGEST, (anybody,), "", (BundleEvidence(bundle(MINE)), piece(MINE))))
    assert finding.signed == {}
    assert finding.found == ["a signature by another key"] * 2
