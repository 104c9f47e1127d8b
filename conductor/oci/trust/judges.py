"""Ask the judging child: at most two at once, each with a deadline."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from conductor.errors import SignaturesUnjudged
from conductor.oci.trust import evidence as forms
from conductor.oci.trust import signers as whom
from conductor.oci.trust.evidence import Evidence
from conductor.oci.trust.policy import Rule

__all__ = ["HereAndNow", "Judges", "examined"]

_AT_ONCE: Final = 2
_SECONDS: Final = 60.0
_LARGEST_ANSWER: Final = 1 << 20
_CHUNK: Final = 64 << 10
_COMMAND: Final = (sys.executable, "-m", "conductor.oci.trust.judge_child")
_WHERE: Final = Path(__file__).parent.parent.parent.parent
"""Where the package lies: a child started with -m finds it there, whatever its environment."""


class Judges:
    """Own the children that judge."""

    def __init__(self, *, seconds: float = _SECONDS, command: Sequence[str] = _COMMAND) -> None:
        self._seconds, self._command, self._slots = seconds, command, asyncio.Semaphore(_AT_ONCE)

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
            child = await asyncio.create_subprocess_exec(
                *self._command,
                str(os.getpid()),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={},
                cwd=_WHERE,
                start_new_session=True,
            )
            try:
                async with asyncio.timeout(self._seconds):
                    said, complained = await _talk(child, question)
                    status = await child.wait()
            except TimeoutError:
                raise SignaturesUnjudged(f"judging signatures took more than {self._seconds:g} s") from None
            finally:
                with suppress(ProcessLookupError):
                    child.kill()
                await child.wait()
        return _read(status, said, complained)


class HereAndNow:
    """Judge in this process: for one that is short-lived and without rights itself."""

    @staticmethod
    def prepare() -> None:
        """Import everything that judging needs."""
        importlib.import_module("conductor.oci.trust.keyless")

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
            [*_COMMAND, str(os.getpid())],
            input=question,
            capture_output=True,
            timeout=_SECONDS,
            env={},
            cwd=_WHERE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SignaturesUnjudged(f"examining the image policy took more than {_SECONDS:g} s") from None
    return [(place, problem) for place, problem in _read(done.returncode, done.stdout, done.stderr)["problems"]]


async def _talk(child: asyncio.subprocess.Process, question: bytes) -> tuple[bytes, bytes]:
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    async with asyncio.TaskGroup() as group:
        group.create_task(_feed(child.stdin, question), name="judge-in")
        complained = group.create_task(_drained(child, child.stderr), name="judge-words")
        said = await _drained(child, child.stdout)
    return said, complained.result()


async def _feed(stdin: asyncio.StreamWriter, question: bytes) -> None:
    with suppress(ConnectionError):  # it ended early: its exit code tells
        stdin.write(question)
        await stdin.drain()
    with suppress(ConnectionError):
        stdin.close()
        await stdin.wait_closed()


async def _drained(child: asyncio.subprocess.Process, stream: asyncio.StreamReader) -> bytes:
    """Read what it says; one that does not stop is ended."""
    said = bytearray()
    while chunk := await stream.read(_CHUNK):
        said += chunk
        if len(said) > _LARGEST_ANSWER:
            with suppress(ProcessLookupError):
                child.kill()
            break
    return bytes(said)


def _read(status: int | None, said: bytes, complained: bytes) -> Mapping[str, Any]:
    if status != 0 or len(said) > _LARGEST_ANSWER:
        words = complained.decode(errors="replace").strip().splitlines()
        raise SignaturesUnjudged(
            f"the child that judges signatures ended with {status}: {words[-1][:300] if words else 'it said nothing'}"
        )
    answer = json.loads(said)
    assert isinstance(answer, dict)
    return answer
