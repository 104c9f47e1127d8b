"""Signatures whose time is told by a stamper rather than by the log, as Rekor v2 has it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from conductor.oci.trust.evidence import BundleEvidence
from conductor.oci.trust.judge import Case, Finding, judge
from conductor.oci.trust.signers import IdentitySigner
from tests.oci.trust.authority import ISSUER, SUBJECT, Authority
from tests.oci.trust.timestamper import TimeStamper
from tests.oci.trust.workshop import DIGEST, OTHER_DIGEST

ACME = Authority()


def before(**ago: int) -> datetime:
    return datetime.now(UTC) - timedelta(**ago)


@pytest.fixture
def stamper(tmp_path: Path) -> TimeStamper:
    return TimeStamper(tmp_path)


def judged(bundle: bytes, *stampers: TimeStamper, digest: str = DIGEST) -> Finding:
    root = json.loads(ACME.trusted_root) | {"timestampAuthorities": [each.described for each in stampers]}
    signer = IdentitySigner(issuer=ISSUER, subject=SUBJECT)
    return judge(Case(digest, (signer,), json.dumps(root), (BundleEvidence(bundle),)))


def test_a_stamped_signature_is_good(stamper: TimeStamper) -> None:
    bundle = ACME.stamped_bundle(ACME.certified(since=before(minutes=1)), stamper)
    assert judged(bundle, stamper) == Finding({0: f"identity {SUBJECT} ({ISSUER})"}, [])
    assert "it is for another digest" in judged(bundle, stamper, digest=OTHER_DIGEST).found[0]


def test_an_expired_certificate_is_told(stamper: TimeStamper) -> None:
    bundle = ACME.stamped_bundle(ACME.certified(since=before(hours=1)), stamper)
    assert "its certificate was not valid when it was signed" in judged(bundle, stamper).found[0]


def test_a_stamper_that_the_root_does_not_name_says_nothing(stamper: TimeStamper, tmp_path: Path) -> None:
    bundle = ACME.stamped_bundle(ACME.certified(since=before(minutes=1)), stamper)
    assert "no Timestamp Authorities have been provided" in judged(bundle).found[0]
    (tmp_path / "other").mkdir()
    assert "not enough sources of verified time" in judged(bundle, TimeStamper(tmp_path / "other")).found[0]


def test_a_stamp_of_something_else_says_nothing(stamper: TimeStamper) -> None:
    bundle = ACME.stamped_bundle(ACME.certified(since=before(minutes=1)), stamper, stamped=b"else")
    assert "not enough sources of verified time" in judged(bundle, stamper).found[0]
