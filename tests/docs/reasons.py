"""The table of reasons, drawn from our errors: each says what it is, who raises it, and what helps."""

from __future__ import annotations

from collections.abc import Iterator

from conductor import errors
from conductor.errors import ConductorError

__all__ = ["reasons"]

WITHIN = {"HistoryGone", "LeadershipLost", "MessageTooLarge", "AgentStopping"}
"""Met between our own parts, or by clients written against the API."""


def reasons() -> Iterator[str]:
    """A table of the reasons of errors, by name."""
    yield "| reason | what it is | what helps |"
    yield "|---|---|---|"
    found = [getattr(errors, name) for name in errors.__all__]
    kinds = [one for one in found if isinstance(one, type) and issubclass(one, ConductorError)]
    for kind in sorted(kinds, key=lambda one: one.reason):
        if kind is not ConductorError and kind.reason not in WITHIN:
            what, helps = _told(kind)
            yield f"| `{kind.reason}` | {what} | {helps} |"


def _told(kind: type[ConductorError]) -> tuple[str, str]:
    words = " ".join((kind.__doc__ or "").split())
    what, _, rest = words.partition(" Raised ")
    return what.removesuffix("."), rest.partition("; ")[2].removesuffix(".")
