"""Errors as conditions: one total projection."""

from __future__ import annotations

from dataclasses import replace

from conductor.errors import ConductorError, ImagePending, KernelAway, MapMissing
from conductor.model.status import Condition, State

__all__ = ["as_asked", "condition_of", "noted", "sentence", "starting"]

MESSAGE_LENGTH = 2048


def condition_of(exc: BaseException, since: float = 0.0) -> Condition:
    """Answer where an error leaves a program: waiting for what may still come, or failed.

    Anything outside our tree is told by its type alone: its text was not written for users.
    """
    if not isinstance(exc, ConductorError):
        message = f"an error inside the agent ({type(exc).__name__}); its log has the trace"
        return Condition(state=State.FAILED, reason=ConductorError.reason, message=message, since=since)
    return Condition(state=_state_of(exc), reason=exc.reason, message=sentence(str(exc)), since=since)


def _state_of(exc: ConductorError) -> State:
    if isinstance(exc, MapMissing | KernelAway):
        return State.WAITING
    return State.PULLING if isinstance(exc, ImagePending) else State.FAILED


def noted(condition: Condition, note: str) -> Condition:
    """Answer a condition that has nothing else to say with a note, such as that the tag of its image moved."""
    if condition.state is not State.RUNNING or condition.message or not note:
        return condition
    return replace(condition, message=sentence(note))


def starting(since: float) -> Condition:
    """Condition of what was asked for and not looked at yet."""
    return Condition(state=State.UNINITIALIZED, reason="Starting", message="it is looked at soon", since=since)


def as_asked(text: str, *, kept: str, asked: str) -> str:
    """Name a file as whoever asked for it did, where a sentence names the copy that is `kept` by its digest.

    Its bare name stands for objects, without their path.
    """
    if not kept or not asked or kept == asked:
        return text
    return text.replace(kept, asked).replace(kept.rpartition("/")[2], asked.rpartition("/")[2])


def sentence(text: str) -> str:
    """Cut a message to what a status may carry."""
    return text if len(text) <= MESSAGE_LENGTH else f"{text[: MESSAGE_LENGTH - 1]}…"
