"""A service account's token in a file: the kubelet replaces it about hourly, and an old one stops being accepted."""

from __future__ import annotations

import time
from pathlib import Path

from conductor.errors import ClusterAway

__all__ = ["TokenFile"]

LOOK_EVERY = 10.0
"""Seconds; a replaced token is good long before its predecessor ends."""


class TokenFile:
    """Answer the token that the file holds now."""

    def __init__(self, *, path: Path) -> None:
        self._path = path
        self._token = ""
        self._read_at = float("-inf")

    def now(self) -> str:
        """Answer the token, read again after 10 s. Raises `ClusterAway` where there is none."""
        if time.monotonic() - self._read_at >= LOOK_EVERY:
            self.read_again()
        return self._token

    def read_again(self) -> bool:
        """Read the file at once, such as after a refusal; answers whether the token is another one now."""
        before = self._token
        try:
            # One page of tmpfs: not worth a thread.
            self._token = self._path.read_text(encoding="ascii").strip()
        except (OSError, ValueError) as exc:
            text = exc.strerror if isinstance(exc, OSError) else "it is no text"
            raise ClusterAway(f"the cluster's token {self._path} cannot be read: {text}", sent=False) from None
        if not self._token:
            raise ClusterAway(f"the cluster's token {self._path} is empty", sent=False)
        self._read_at = time.monotonic()
        return self._token != before
