"""Statuses of three daemons as errors of ours."""

from __future__ import annotations

import pytest

from conductor.bpfman.refusals import refusal
from conductor.errors import (
    AlreadyExists,
    AnswerLost,
    Code,
    ConductorError,
    InvalidSpec,
    KernelAway,
    KernelRefused,
    NotFound,
    NotSupported,
    NotYet,
    ObjectUnreadable,
    VerifierRejected,
)

SEEN: list[tuple[Code, str, type[ConductorError]]] = [
    (Code.NOT_FOUND, "program 7 not found", NotFound),
    (Code.ABORTED, "An error occurred. Program 7 does not exist", NotFound),
    (Code.INTERNAL, "program 7 exists in store but not in kernel (requires reconciliation)", NotFound),
    (Code.INTERNAL, "attach tracepoint: file exists", AlreadyExists),
    (Code.INTERNAL, "already attached to lo as link 3", AlreadyExists),
    (Code.ALREADY_EXISTS, "as link 3", AlreadyExists),
    (Code.INVALID_ARGUMENT, "no bytecode", InvalidSpec),
    (Code.UNIMPLEMENTED, "images come later", NotYet),
    (Code.FAILED_PRECONDITION, "attach verb does not fit", KernelRefused),
    (Code.UNKNOWN, "", KernelRefused),
    (Code.INTERNAL, "load: permission denied: 0: R1 !read_ok\nprocessed 1 insns (limit 1000000)", VerifierRejected),
    (Code.FAILED_PRECONDITION, "p: R1 !read_ok (3 more lines: conductor kernel log)", VerifierRejected),
]


@pytest.mark.parametrize(("code", "text", "error"), SEEN)
def test_words_and_code_choose_the_error(code: Code, text: str, error: type[ConductorError]) -> None:
    assert type(refusal(code, text, changes=True, metadata={})) is error


@pytest.mark.parametrize("code", [Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED])
def test_change_without_an_outcome_is_a_lost_answer(code: Code) -> None:
    assert type(refusal(code, "lock wait", changes=True, metadata={})) is AnswerLost
    assert type(refusal(code, "lock wait", changes=False, metadata={})) is KernelAway


@pytest.mark.parametrize("error", [NotSupported, ObjectUnreadable, KernelRefused])
def test_reason_of_our_loader_decides(error: type[ConductorError]) -> None:
    assert type(refusal(error.code, "not found", changes=True, metadata={"reason": error.reason})) is error


def test_field_of_a_bad_wish_is_kept() -> None:
    error = refusal(Code.INVALID_ARGUMENT, "global_data: no such global", changes=True, metadata={})
    assert isinstance(error, InvalidSpec)
    assert (error.field, error.problem) == ("global_data", "no such global")


def test_endless_words_are_cut() -> None:
    assert len(str(refusal(Code.INTERNAL, "x" * 100_000, changes=True, metadata={}))) < 5000
