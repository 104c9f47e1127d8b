"""Answers other than OK as errors of ours.

Our loader tells the class by the `reason` trailer. The Go daemon calls half of what a caller did wrong INTERNAL and the
Rust daemon calls everything ABORTED, so there the words decide; what they do not tell is `KernelRefused`.
"""

from __future__ import annotations

from collections.abc import Mapping

from conductor.bpfman.words import saying, verifier_said
from conductor.errors import (
    AlreadyExists,
    AnswerLost,
    BudgetExceeded,
    Code,
    ConductorError,
    InvalidSpec,
    KernelAway,
    KernelRefused,
    LibraryMissing,
    MapMismatch,
    NotAllowed,
    NotFound,
    NotSupported,
    NotYet,
    ObjectUnreadable,
    StateUnwritable,
    VerifierRejected,
)

__all__ = ["REASON", "refusal"]

REASON = "reason"
"""Trailer in which our loader names the error's `reason`."""
MAX_TEXT = 4096
_PLAIN: tuple[type[ConductorError], ...] = (
    AlreadyExists,
    BudgetExceeded,
    KernelRefused,
    LibraryMissing,
    MapMismatch,
    NotAllowed,
    NotFound,
    NotSupported,
    NotYet,
    ObjectUnreadable,
    StateUnwritable,
)
_BY_REASON = {error.reason: error for error in _PLAIN}
_BY_CODE: dict[Code, type[ConductorError]] = {
    Code.NOT_FOUND: NotFound,
    Code.ALREADY_EXISTS: AlreadyExists,
    Code.PERMISSION_DENIED: NotAllowed,
    Code.UNIMPLEMENTED: NotYet,
    Code.RESOURCE_EXHAUSTED: BudgetExceeded,
}
_UNTOLD = (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED)
_GONE = ("does not exist", "not found", "requires reconciliation", "no such program", "no such link")
_TWICE = ("file exists", "already attached", "eexist", "already exists")


def refusal(code: Code, text: str, *, changes: bool, metadata: Mapping[str, str]) -> ConductorError:
    """Turn a status into the error that says what a caller can do."""
    words = (text or code.name)[:MAX_TEXT]
    if code in _UNTOLD:
        return AnswerLost(f"{words}; it may have been carried out") if changes else KernelAway(words)
    reason = metadata.get(REASON, "")
    if reason == VerifierRejected.reason or _is_verifier(text):
        program, lines = verifier_said(text)
        return VerifierRejected(program or "the object", lines)
    told = None if reason else saying(words)
    if told is not None:
        return told
    if reason == InvalidSpec.reason or (not reason and code is Code.INVALID_ARGUMENT):
        return _invalid(words)
    if reason in _BY_REASON:
        return _BY_REASON[reason](words)
    if code in _BY_CODE:
        return _BY_CODE[code](words)
    return _by_words(words)


def _invalid(words: str) -> InvalidSpec:
    field, colon, problem = words.partition(": ")
    named = bool(colon) and " " not in field
    return InvalidSpec(field, problem) if named else InvalidSpec("kernel program", words)


def _is_verifier(text: str) -> bool:
    """Whether the words are of the verifier: ours point at the log, others bring its last line along."""
    return (
        "conductor kernel log" in text
        or ("processed " in text and " insns" in text)
        or ("load program: permission denied: " in text and "line(s) omitted)" in text)
    )


def _by_words(words: str) -> ConductorError:
    low = words.lower()
    if any(sign in low for sign in _TWICE):
        return AlreadyExists(words)
    if any(sign in low for sign in _GONE):
        return NotFound(words)
    return KernelRefused(words)
