"""Whatever is done to a signature's bytes: no change of meaning is accepted, and nothing makes the judge fall."""

from __future__ import annotations

import base64
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from conductor.oci.trust.evidence import BundleEvidence, SimpleEvidence
from conductor.oci.trust.judge import Case, judge
from conductor.oci.trust.signers import IdentitySigner, KeySigner
from tests.oci.trust.authority import ISSUER, SUBJECT, Authority
from tests.oci.trust.workshop import DIGEST, bundle, key, payload, pem, simple, text

MINE, ACME = key(), Authority()
SIGNERS = KeySigner("mine.pub", pem(MINE)), IdentitySigner(issuer=ISSUER, subject=SUBJECT)
GOOD = [bundle(MINE), ACME.bundle(ACME.certified())]
PAYLOAD, NOTES = simple(MINE)
SOME = settings(max_examples=60, deadline=None)


def signed(*pieces: BundleEvidence | SimpleEvidence) -> set[int]:
    return set(judge(Case(DIGEST, SIGNERS, ACME.trusted_root, pieces)).signed)


def flipped(data: bytes, at: int, bit: int) -> bytes:
    at %= len(data)
    return data[:at] + bytes((data[at] ^ 1 << bit,)) + data[at + 1 :]


def test_they_are_good_before() -> None:
    assert signed(*map(BundleEvidence, GOOD)) == {0, 1}
    assert signed(SimpleEvidence.read(PAYLOAD, NOTES)) == {0}


@SOME
@given(at=st.integers(min_value=0, max_value=1 << 16), bit=st.integers(0, 7), which=st.integers(0, 1))
def test_a_changed_statement_is_refused(at: int, bit: int, which: int) -> None:
    body = json.loads(GOOD[which])
    envelope = body["dsseEnvelope"]
    envelope["payload"] = text(flipped(base64.b64decode(envelope["payload"]), at, bit))
    assert signed(BundleEvidence(json.dumps(body).encode())) == set()


@SOME
@given(at=st.integers(min_value=0, max_value=1 << 16), bit=st.integers(0, 7), which=st.integers(0, 1))
def test_a_changed_signature_is_refused(at: int, bit: int, which: int) -> None:
    body = json.loads(GOOD[which])
    [signature] = body["dsseEnvelope"]["signatures"]
    signature["sig"] = text(flipped(base64.b64decode(signature["sig"]), at, bit))
    assert signed(BundleEvidence(json.dumps(body).encode())) == set()


@SOME
@given(at=st.integers(min_value=0, max_value=1 << 16), bit=st.integers(0, 7))
def test_a_changed_certificate_is_refused(at: int, bit: int) -> None:
    body = json.loads(GOOD[1])
    certificate = body["verificationMaterial"]["certificate"]
    certificate["rawBytes"] = text(flipped(base64.b64decode(certificate["rawBytes"]), at, bit))
    assert signed(BundleEvidence(json.dumps(body).encode())) == set()


@SOME
@given(at=st.integers(min_value=0, max_value=1 << 16), bit=st.integers(0, 7))
def test_a_changed_log_entry_is_refused(at: int, bit: int) -> None:
    body = json.loads(GOOD[1])
    [entry] = body["verificationMaterial"]["tlogEntries"]
    entry["canonicalizedBody"] = text(flipped(base64.b64decode(entry["canonicalizedBody"]), at, bit))
    assert signed(BundleEvidence(json.dumps(body).encode())) == set()


@SOME
@given(at=st.integers(min_value=0, max_value=1 << 16), bit=st.integers(0, 7))
def test_a_changed_payload_is_refused(at: int, bit: int) -> None:
    assert signed(SimpleEvidence.read(flipped(payload(), at, bit), NOTES)) == set()


@SOME
@given(at=st.integers(min_value=0, max_value=1 << 16), bit=st.integers(0, 7), which=st.integers(0, 1))
def test_a_changed_bundle_takes_nothing_from_a_good_one(at: int, bit: int, which: int) -> None:
    pieces = BundleEvidence(flipped(GOOD[which], at, bit)), BundleEvidence(GOOD[0])
    assert 0 in signed(*pieces)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
PARTS = ("verificationMaterial", "dsseEnvelope", "messageSignature", "mediaType")


@SOME
@given(body=st.dictionaries(st.sampled_from(PARTS), JSON) | JSON)
def test_any_json_is_judged_and_refused(body: object) -> None:
    assert signed(BundleEvidence(json.dumps(body).encode())) == set()


@SOME
@given(part=JSON, name=st.sampled_from(["certificate", "tlogEntries", "timestampVerificationData", "publicKey"]))
def test_any_material_is_judged(part: object, name: str) -> None:
    body = json.loads(GOOD[1])
    body["verificationMaterial"][name] = part
    assert signed(BundleEvidence(json.dumps(body).encode())) <= {1}
