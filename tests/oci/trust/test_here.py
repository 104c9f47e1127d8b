"""Judging in a process that gave up its rights: by then it may not be able to read our code, or anybody's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from conductor.oci.trust import evidence as forms
from conductor.oci.trust import signers as whom
from conductor.oci.trust.evidence import BundleEvidence, Evidence, SimpleEvidence
from conductor.oci.trust.signers import IdentitySigner, KeySigner, Signer
from tests.oci.trust.authority import ISSUER, SUBJECT, Authority
from tests.oci.trust.workshop import DIGEST, PrivateKey, bundle, key, pem, simple

ROOT = Path(__file__).parents[3]
SHUT = """
import json, sys
from conductor.oci.trust.judges import HereAndNow
from conductor.oci.trust.judge_child import _answer
HereAndNow.prepare()
class Nothing:
    def find_spec(self, name, path, target=None):
        raise ModuleNotFoundError(f"{name} was not there when it was time")
sys.meta_path.insert(0, Nothing())
json.dump(_answer(json.load(sys.stdin)), sys.stdout)
"""


def judged(signer: Signer, *pieces: Evidence, root: str = "") -> list[int]:
    question = {
        "ask": "judge",
        "digest": DIGEST,
        "signers": [whom.printed(signer)],
        "trustedRoot": root,
        "evidence": [forms.printed(piece) for piece in pieces],
    }
    words = [sys.executable, "-c", SHUT]
    done = subprocess.run(words, input=json.dumps(question), capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert len(answer["found"]) == 1, answer
    assert "not there" not in answer["found"][0]
    return [number for number, _ in answer["signed"]]


@pytest.mark.parametrize(
    "private",
    [
        key(),
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
    ],
)
def test_a_key_needs_nothing_more(private: PrivateKey) -> None:
    good, foreign = SimpleEvidence.read(*simple(private)), SimpleEvidence.read(*simple(key()))
    assert judged(KeySigner("mine.pub", pem(private)), good, BundleEvidence(bundle(private)), foreign) == [0]


def test_an_identity_needs_nothing_more() -> None:
    authority = Authority()
    good, foreign = (BundleEvidence(one.bundle(one.certified())) for one in (authority, Authority()))
    assert judged(IdentitySigner(issuer=ISSUER, subject=SUBJECT), good, foreign, root=authority.trusted_root) == [0]
