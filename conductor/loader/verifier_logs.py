"""What the verifier said of Loads that it refused, kept for a while."""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["VerifierLogs"]

_APPS = 32
_CHARACTERS = 1 << 20


class VerifierLogs:
    """The last refusal per app: of 32 apps, and 1 MiB of the end of each, so that an answer fits in a message."""

    def __init__(self) -> None:
        self._logs: OrderedDict[str, tuple[str, ...]] = OrderedDict()

    def keep(self, app: str, lines: tuple[str, ...]) -> None:
        """Keep a log in the place of the one before."""
        self._logs[app] = _shortened(lines)
        self._logs.move_to_end(app)
        while len(self._logs) > _APPS:
            self._logs.popitem(last=False)

    def of(self, app: str) -> tuple[str, ...]:
        """Return the lines of an app's last refusal; empty when there was none."""
        return self._logs.get(app, ())


def _shortened(lines: tuple[str, ...]) -> tuple[str, ...]:
    room, kept = _CHARACTERS, len(lines)
    while kept and room >= len(lines[kept - 1]):
        kept -= 1
        room -= len(lines[kept]) + 1
    return lines if kept == 0 else (f"[{kept} lines before these were left out]", *lines[kept:])
