"""Errors as gRPC answers: one total projection, used by the one wrapper around all handlers."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from grpclib.const import Status
from grpclib.exceptions import GRPCError

from conductor.errors import ConductorError, DeadlineExceeded

__all__ = ["REASON", "Refusal", "status_of"]

REASON = "x-conductor-reason"
"""Trailer that carries the error's reason, so that a client can raise the same class again."""
MAX_TEXT = 1500
"""Characters of a message: trailers must stay below what gRPC's other clients accept (8 KiB)."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a caller is told instead of an answer."""

    status: Status
    message: str
    reason: str

    @property
    def trailers(self) -> dict[str, str]:
        """Metadata that go with the status."""
        return {REASON: self.reason} if self.reason else {}


def status_of(exc: BaseException) -> Refusal:
    """Project any exception; one outside our tree is logged with its trace and leaves as INTERNAL without its text."""
    match exc:
        case BaseExceptionGroup(exceptions=[single]):
            return status_of(single)
        case ConductorError():
            return Refusal(Status(exc.code.value), _text(str(exc)), exc.reason)
        case TimeoutError():
            return status_of(DeadlineExceeded("the deadline is over; the work goes on: look with Get"))
        case GRPCError():
            return Refusal(exc.status, _text(exc.message or ""), "")
        case _:
            log.error("a call failed in a way that nobody foresaw", exc_info=exc)
            return Refusal(Status.INTERNAL, "the agent failed at this call; its log has the trace", "InternalError")


def _text(message: str) -> str:
    """Cut a message to what trailers hold, and to what UTF-8 can write."""
    text = message.encode(errors="replace").decode()
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"
