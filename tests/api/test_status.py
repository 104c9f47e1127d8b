"""Every exception has its status, and every status its exception again."""

from __future__ import annotations

import logging

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from conductor import errors
from conductor.api.status import status_of
from conductor.client.refusals import error_of
from conductor.errors import Code, ConductorError, InvalidConfig, InvalidSpec, NotFound, VerifierRejected

KINDS = sorted(
    {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ConductorError)}
    - {ConductorError},
    key=lambda kind: kind.__name__,
)


def made(kind: type[ConductorError]) -> ConductorError:
    if issubclass(kind, InvalidSpec):
        return kind("maps[0].access", "9: unknown")
    if issubclass(kind, InvalidConfig):
        return kind((("a", "b"),))
    if issubclass(kind, VerifierRejected):
        return kind("prog", ("bad insn",))
    return kind("a sentence: with a colon")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__name__))
def test_each_error_of_ours_comes_back_as_itself(kind: type[ConductorError]) -> None:
    error = made(kind)
    refusal = status_of(error)
    assert refusal.status.value == kind.code.value
    again = error_of(Code(refusal.status.value), refusal.reason, refusal.message)
    assert type(again) is kind
    assert str(again) == str(error)
    if isinstance(again, InvalidSpec):
        assert (again.field, again.problem) == ("maps[0].access", "9: unknown")


def test_reasons_are_words_and_each_its_own() -> None:
    reasons = [kind.reason for kind in KINDS]
    assert all(reason.isalnum() and reason[0].isupper() for reason in reasons)
    assert len(reasons) == len(set(reasons))


def test_strangers_statuses_become_the_nearest_error() -> None:
    error = error_of(Code.NOT_FOUND, "", "gone")
    assert (type(error), str(error)) == (NotFound, "gone")
    assert type(error_of(Code.UNKNOWN, "", "?")) is ConductorError
    assert type(error_of(Code.NOT_FOUND, "InvalidSpec", "a reason of another code")) is NotFound


def test_what_nobody_foresaw_is_logged_and_leaves_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        refusal = status_of(KeyError("hunter2"))
    assert (refusal.status, refusal.reason) == (Status.INTERNAL, "InternalError")
    assert "hunter2" not in refusal.message
    assert "KeyError" in caplog.text


def test_the_rest_is_projected_too() -> None:
    assert status_of(TimeoutError()).status is Status.DEADLINE_EXCEEDED
    assert status_of(ExceptionGroup("g", [NotFound("x")])).status is Status.NOT_FOUND
    assert status_of(GRPCError(Status.UNIMPLEMENTED)).status is Status.UNIMPLEMENTED


def test_messages_fit_in_trailers() -> None:
    long = status_of(NotFound("ü" * 100_000)).message
    assert len(long) < 2000
    assert status_of(NotFound("half \ud800 a pair")).message == "half ? a pair"
