"""Errors as conditions: total."""

from __future__ import annotations

import asyncio

import pytest

from conductor import errors
from conductor.errors import ConductorError, InvalidConfig, InvalidSpec, VerifierRejected
from conductor.model.status import State
from conductor.plan.conditions import MESSAGE_LENGTH, as_asked, condition_of


def every(kind: type[ConductorError]) -> list[type[ConductorError]]:
    return [kind, *(deeper for child in kind.__subclasses__() for deeper in every(child))]


def made(kind: type[ConductorError]) -> ConductorError:
    if kind is InvalidConfig:
        return InvalidConfig((("f", "is bad"),))
    if issubclass(kind, InvalidSpec):
        return kind("f", "is bad")
    return VerifierRejected("f", ("is bad",)) if issubclass(kind, VerifierRejected) else kind("is bad")


KINDS = [kind for kind in every(ConductorError) if kind.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_of_ours_has_its_reason_and_a_message(kind: type[ConductorError]) -> None:
    condition = condition_of(made(kind), 7.0)
    assert (condition.reason, condition.since) == (kind.reason, 7.0)
    assert "is bad" in condition.message
    assert condition.state in (State.FAILED, State.WAITING, State.PULLING)


def test_reasons_are_unique() -> None:
    reasons = [kind.reason for kind in KINDS]
    assert len(set(reasons)) == len(reasons)


@pytest.mark.parametrize("kind", [errors.MapMissing, errors.KernelAway, errors.NoKernelRoad])
def test_what_may_still_come_is_waited_for(kind: type[ConductorError]) -> None:
    assert condition_of(kind("later")).state is State.WAITING


@pytest.mark.parametrize("exc", [ValueError("secret"), OSError(2, "secret"), asyncio.CancelledError("secret")])
def test_foreign_errors_do_not_tell_their_text(exc: BaseException) -> None:
    condition = condition_of(exc)
    assert (condition.state, condition.reason) == (State.FAILED, "InternalError")
    assert "secret" not in condition.message
    assert type(exc).__name__ in condition.message


def test_a_message_is_bounded() -> None:
    assert len(condition_of(ConductorError("x" * 100_000)).message) == MESSAGE_LENGTH


@pytest.mark.parametrize(
    ("text", "asked", "told"),
    [
        ("/s/objects/sha256-ab is no ELF file", "/home/me/x.o", "/home/me/x.o is no ELF file"),
        ("sha256-ab: map m could not be made", "/home/me/x.o", "x.o: map m could not be made"),
        ("something else", "/home/me/x.o", "something else"),
        ("sha256-ab: it is uploaded", "", "sha256-ab: it is uploaded"),
    ],
)
def test_a_file_is_named_as_whoever_asked_named_it(text: str, asked: str, told: str) -> None:
    assert as_asked(text, kept="/s/objects/sha256-ab", asked=asked) == told
