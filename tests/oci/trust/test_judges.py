"""The child that judges: its limits, its failures, and what the process that asks is spared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conductor.errors import SignaturesUnjudged
from conductor.oci.trust.evidence import BundleEvidence
from conductor.oci.trust.judges import Judges, examined
from conductor.oci.trust.policy import Demand, Rule
from conductor.oci.trust.signers import KeySigner
from tests.oci.trust.workshop import DIGEST, bundle, key, pem

MINE = key()
RULE = Rule("registry.example", Demand.ANY, (KeySigner("mine.pub", pem(MINE)),))
CHILD = [sys.executable, "-m", "conductor.oci.trust.judge_child"]
ROOT = Path(__file__).parents[3]


async def test_the_child_answers_who_signed() -> None:
    signed, found = await Judges().judge(DIGEST, RULE, [BundleEvidence(bundle(MINE)), BundleEvidence(b"{")])
    assert signed == {0: "key mine.pub"}
    assert len(found) == 1


async def test_a_child_that_takes_too_long_accepts_nothing() -> None:
    with pytest.raises(SignaturesUnjudged, match=r"took more than 0\.01 s"):
        await Judges(seconds=0.01).judge(DIGEST, RULE, [BundleEvidence(bundle(MINE))])


async def test_a_child_that_fails_accepts_nothing() -> None:
    broken = Rule("registry.example", Demand.ANY, (KeySigner("broken.pub", "no PEM"),))
    with pytest.raises(SignaturesUnjudged, match="ended with 1: ValueError: is no public key"):
        await Judges().judge(DIGEST, broken, [BundleEvidence(bundle(MINE))])


async def test_a_child_that_says_too_much_is_ended() -> None:
    with pytest.raises(SignaturesUnjudged, match="ended with -9"):
        await Judges(command=["/usr/bin/yes"]).judge(DIGEST, RULE, [BundleEvidence(bundle(MINE))])


def test_nothing_to_examine_starts_no_child() -> None:
    assert examined({}, {}) == []


def test_the_child_ends_at_once_without_the_parent_that_it_was_given() -> None:
    done = subprocess.run([*CHILD, "1"], input=b"{}", capture_output=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout) == (1, b"")


def test_the_child_limits_itself() -> None:
    with subprocess.Popen([*CHILD, str(os.getpid())], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        limits: dict[str, list[str]] = {}
        while limits.get("Max open files") != ["64", "64"]:  # the last that it sets
            assert child.poll() is None
            text = Path(f"/proc/{child.pid}/limits").read_text()
            limits = {line[:26].strip(): line[26:].split()[:2] for line in text.splitlines()}
        status = Path(f"/proc/{child.pid}/status").read_text()
        first_to_go = Path(f"/proc/{child.pid}/oom_score_adj").read_text()
        child.communicate(json.dumps({"ask": "examine", "keys": {}, "roots": {}}).encode())
    assert limits["Max cpu time"] == ["20", "20"]
    assert limits["Max address space"] == [str(1 << 30)] * 2
    assert limits["Max file size"] == ["0", "0"]
    assert "NoNewPrivs:\t1" in status
    assert first_to_go == "900\n"


def test_whoever_asks_is_spared_the_libraries(tmp_path: Path) -> None:
    (tmp_path / "mine.pub").write_text(pem(MINE))
    script = """
import asyncio, sys
from conductor.oci.trust.verifier import Verifier
from conductor.oci.trust.policy import TrustPolicy
from conductor.oci.trust.judges import Judges
from conductor.oci.trust.evidence import BundleEvidence
policy = TrustPolicy.parse("default: {anyOf: [{key: mine.pub}]}", where="./policy.yaml")
print(asyncio.run(Judges().judge(sys.argv[1], policy.default, [BundleEvidence(sys.argv[2].encode())])))
print(sorted({"cryptography", "sigstore", "pydantic", "requests"} & set(sys.modules)))
"""
    command = [sys.executable, "-c", script, DIGEST, bundle(MINE).decode()]
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, check=True)
    assert done.stdout.decode().splitlines() == ["({0: 'key mine.pub'}, ())", "[]"]
