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
    (
        Code.INTERNAL,
        "load program p: failed to load collection: program p: load program: permission denied: 0: R1 !read_ok (7 line(s) omitted)",
        VerifierRejected,
    ),
    (Code.ABORTED, "Failed to acquire database lock, please try again later", KernelAway),
    (Code.ABORTED, "error parsing BPF object: symbol with name x not found in the symbols table", InvalidSpec),
    (Code.ABORTED, "error parsing BPF object: symbol x has size `4`, but provided data is of size `1`", InvalidSpec),
    (Code.INTERNAL, 'load program p: global variable "x" not found in program; available: [y]', InvalidSpec),
    (
        Code.INTERNAL,
        'load program p: set variable "x": marshaling value x: []uint8 doesn\'t marshal to 4 bytes',
        InvalidSpec,
    ),
    (Code.ABORTED, 'one or more programs failed to load: [BpfFunctionNameNotValid("x")]', InvalidSpec),
    (Code.INTERNAL, "program(s) not found in object file: [x]; available programs: [y]", InvalidSpec),
    (Code.ABORTED, "error parsing BPF object: invalid program section `tc`", ObjectUnreadable),
    (Code.ABORTED, "An error occurred. can't open file: No such file or directory (os error 2)", ObjectUnreadable),
    (Code.INTERNAL, "object file /x.o: stat /x.o: no such file or directory", ObjectUnreadable),
    (Code.ABORTED, "`/sys/kernel/tracing/events/syscalls/nope/id`", NotFound),
    (Code.ABORTED, "Invalid Interface", NotFound),
    (Code.INVALID_ARGUMENT, 'attach TCX: resolve interface "x": no such network interface', NotFound),
    (Code.ABORTED, "error resolving symbol", NotFound),
    (Code.ABORTED, "An error occurred. Failed to open target netns file: No such file or directory", InvalidSpec),
    (Code.ABORTED, "An error occurred. setns error: EINVAL: Invalid argument", InvalidSpec),
    (
        Code.INTERNAL,
        "load program p: failed: program p: load program: operation not permitted (MEMLOCK)",
        KernelRefused,
    ),
    (Code.ABORTED, "Unable to attach uprobe in container with pid 7", KernelRefused),
    (Code.ABORTED, "tracefs not found", NotSupported),
    (Code.ABORTED, "`/sys/bus/event_source/devices/kprobe/type`", NotSupported),
    (Code.FAILED_PRECONDITION, "p: R1 !read_ok (3 more lines: conductor kernel log)", VerifierRejected),
]


@pytest.mark.parametrize(("code", "text", "error"), SEEN)
def test_words_and_code_choose_the_error(code: Code, text: str, error: type[ConductorError]) -> None:
    assert type(refusal(code, text, changes=True, metadata={})) is error


def test_log_of_the_rust_daemon_is_taken_out_of_its_debug_words() -> None:
    said = "2: (61) r0 = *(u32 *)(r1 +0)\nR1 invalid mem access 'scalar'\nverification time 18 usec\nstack depth 0\nprocessed 3 insns (limit 1000000)\n })]"
    text = f"one or more programs failed to load: [BpfProgramError(LoadError {{ verifier_log: {said}"
    error = refusal(Code.ABORTED, text, changes=True, metadata={})
    assert isinstance(error, VerifierRejected)
    assert error.log[-1].startswith("processed 3")
    assert "R1 invalid mem access" in str(error)


def test_refusal_of_the_verifier_names_the_source_line() -> None:
    log = ("; int x = 1; @ a.c:1", "0: r1 = 1", "; return *x; @ a.c:2", "1: r0 = *r1", "R1 is bad", "processed 2 insns")
    told = "p: R1 is bad, at: return *x; @ a.c:2 (5 more lines: conductor kernel log)"
    assert str(VerifierRejected("p", log)) == told
    assert str(VerifierRejected("p", log[3:5])).startswith("p: R1 is bad (")


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
