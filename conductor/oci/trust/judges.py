"""Ask the judging child: at most two at once, each with a deadline."""

from __future__ import annotations

import asyncio
import importlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, Final

from conductor.children import PACKAGE, Answer, ask, ours
from conductor.errors import SignaturesUnjudged
from conductor.oci.trust import evidence as forms
from conductor.oci.trust import signers as whom
from conductor.oci.trust.evidence import Evidence
from conductor.oci.trust.policy import Rule

__all__ = ["HereAndNow", "Judges", "examined"]

_AT_ONCE: Final = 2
_SECONDS: Final = 60.0
_LARGEST_ANSWER: Final = 1 << 20
_CHILD: Final = "conductor.oci.trust.judge_child"
_AT_FIRST_USE: Final = ("cryptography.hazmat.backends.openssl", "encodings.utf_16_be")
"""Imported by libraries themselves only when the first signature is verified, or the first certificate read."""


class Judges:
    """Own the children that judge."""

    def __init__(self, *, seconds: float = _SECONDS, command: Sequence[str] = ()) -> None:
        self._seconds, self._command = seconds, command or ours(_CHILD)
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def judge(
        self, digest: str, rule: Rule, evidence: Sequence[Evidence]
    ) -> tuple[dict[int, str], tuple[str, ...]]:
        """Answer who of the rule's signers signed, by place, and what else was found. Raises `SignaturesUnjudged`."""
        question = {
            "ask": "judge",
            "digest": digest,
            "signers": [whom.printed(signer) for signer in rule.signers],
            "trustedRoot": rule.trusted_root,
            "evidence": [forms.printed(piece) for piece in evidence],
        }
        answer = await self._ask(json.dumps(question).encode())
        return dict(answer["signed"]), tuple(answer["found"])

    async def _ask(self, question: bytes) -> Mapping[str, Any]:
        async with self._slots:
            try:
                answer = await ask(self._command, question, seconds=self._seconds, most=_LARGEST_ANSWER, environment={})
            except TimeoutError:
                raise SignaturesUnjudged(f"judging signatures took more than {self._seconds:g} s") from None
        return _read(answer)


class HereAndNow:
    """Judge in this process: for one that is short-lived and without rights itself."""

    @staticmethod
    def prepare() -> None:
        """Import everything that judging needs."""
        for module in ("conductor.oci.trust.judge", "conductor.oci.trust.keyless", *_AT_FIRST_USE):
            importlib.import_module(module)

    async def judge(
        self, digest: str, rule: Rule, evidence: Sequence[Evidence]
    ) -> tuple[dict[int, str], tuple[str, ...]]:
        """Answer as `Judges.judge` does."""
        from conductor.oci.trust.judge import Case, judge  # noqa: PLC0415 - its libraries are large

        case = Case(digest=digest, signers=rule.signers, trusted_root=rule.trusted_root, evidence=tuple(evidence))
        finding = await asyncio.to_thread(judge, case)
        return finding.signed, tuple(finding.found)


def examined(keys: Mapping[str, str], roots: Mapping[str, str]) -> list[tuple[str, str]]:
    """Answer what is wrong with a policy's keys and trusted roots, by place. Raises `SignaturesUnjudged`."""
    if not keys and not roots:
        return []
    question = json.dumps({"ask": "examine", "keys": dict(keys), "roots": dict(roots)}).encode()
    try:
        done = subprocess.run(
            ours(_CHILD),
            input=question,
            capture_output=True,
            timeout=_SECONDS,
            env={},
            cwd=PACKAGE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SignaturesUnjudged(f"examining the image policy took more than {_SECONDS:g} s") from None
    words = done.stderr.decode(errors="replace").strip()
    answer = Answer(done.returncode, done.stdout, words, len(done.stdout) > _LARGEST_ANSWER)
    return [(place, problem) for place, problem in _read(answer)["problems"]]


def _read(answer: Answer) -> Mapping[str, Any]:
    if answer.status != 0 or answer.is_too_long:
        raise SignaturesUnjudged(
            f"the child that judges signatures ended with {answer.status}: {answer.last_words}; it is asked again later"
        )
    told = json.loads(answer.said)
    assert isinstance(told, dict)
    return told
