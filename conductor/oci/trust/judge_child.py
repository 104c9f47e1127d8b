"""The child that judges signatures: one question on standard input, one answer on standard output, both JSON.

The libraries it needs would stay in the agent's memory for good, and what they parse came from strangers; so this
process limits itself first and dies with its parent. Started as `python -m conductor.oci.trust.judge_child PARENT`.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

__all__ = ["CPU_SECONDS", "LARGEST_QUESTION", "main"]

LARGEST_QUESTION: Final = 32 << 20
CPU_SECONDS: Final = 20
_MEMORY: Final = 1 << 30
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38


def main() -> int:
    """Answer one question; what goes wrong ends the process with a trace."""
    _limit()
    question = sys.stdin.buffer.read(LARGEST_QUESTION + 1)
    if len(question) > LARGEST_QUESTION:
        raise ValueError(f"the question is larger than {LARGEST_QUESTION >> 20} MiB")
    answer = _answer(json.loads(question))
    sys.stdout.write(json.dumps(answer))
    return 0


def _answer(question: Mapping[str, Any]) -> dict[str, Any]:
    from conductor.oci.trust.evidence import evidence_from  # noqa: PLC0415 - the limits come first
    from conductor.oci.trust.judge import Case, examine, judge  # noqa: PLC0415 - as above
    from conductor.oci.trust.signers import signer_from  # noqa: PLC0415 - as above

    if question["ask"] == "examine":
        return {"problems": examine(question["keys"], question["roots"])}
    finding = judge(
        Case(
            digest=question["digest"],
            signers=tuple(signer_from(raw) for raw in question["signers"]),
            trusted_root=question["trustedRoot"],
            evidence=tuple(evidence_from(raw) for raw in question["evidence"]),
        )
    )
    return {"signed": sorted(finding.signed.items()), "found": finding.found}


def _limit() -> None:
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if [str(os.getppid())] != sys.argv[1:]:
        os._exit(1)  # the parent died before the line above
    with suppress(OSError):
        # Where memory is short this is what should go: it is asked again, the agent is not.
        Path("/proc/self/oom_score_adj").write_text("900")
    for what, most in (
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_AS, _MEMORY),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        resource.setrlimit(what, (most, most))


if __name__ == "__main__":
    sys.exit(main())
