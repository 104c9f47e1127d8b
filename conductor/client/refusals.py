"""Statuses as errors: the same class that the agent raised, found again by its reason."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conductor import errors
from conductor.errors import (
    AgentUnreachable,
    AlreadyExists,
    BudgetExceeded,
    Code,
    ConductorError,
    DeadlineExceeded,
    InvalidConfig,
    InvalidSpec,
    KernelRefused,
    ModuleUnusable,
    NotAllowed,
    NotFound,
    NotYet,
    ObjectUnreadable,
    VerifierRejected,
)

__all__ = ["error_of", "of_module"]

_BY_CODE: dict[Code, type[ConductorError]] = {
    Code.INVALID_ARGUMENT: InvalidSpec,
    Code.DEADLINE_EXCEEDED: DeadlineExceeded,
    Code.NOT_FOUND: NotFound,
    Code.ALREADY_EXISTS: AlreadyExists,
    Code.PERMISSION_DENIED: NotAllowed,
    Code.RESOURCE_EXHAUSTED: BudgetExceeded,
    Code.FAILED_PRECONDITION: KernelRefused,
    Code.UNIMPLEMENTED: NotYet,
    Code.UNAVAILABLE: AgentUnreachable,
}
"""For answers without a reason that we know: another server's, or a newer agent's."""


_KINDS = {
    (kind.code, kind.reason): kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, ConductorError)
}


def error_of(code: Code, reason: str, message: str) -> ConductorError:
    """Build the error that a status stands for; its text is the agent's."""
    kind = _KINDS.get((code, reason)) or _BY_CODE.get(code, ConductorError)
    error = kind.__new__(kind, message)
    error.args = (message,)
    match error:
        case InvalidSpec():
            error.field, _, error.problem = message.partition(": ")
        case InvalidConfig():
            error.problems = (("", message),)
        case VerifierRejected():
            error.program, error.log = message.partition(": ")[0], ()
        case _:
            pass
    return error


@contextmanager
def of_module(module: Path | str | None, sent: Path | str | None) -> Iterator[None]:
    """Name the file in a refusal of what is in it: the agent was `sent` its bytes and knows their digest alone."""
    try:
        yield
    except (ModuleUnusable, ObjectUnreadable) as error:
        if not isinstance(module, Path):
            raise
        text = str(error).replace(str(sent), str(module))
        raise type(error)(text if str(module) in text else f"{module}: {text}") from None
