"""Ceilings of everything that a registry may make us do."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RegistryLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryLimits:
    """Bounds of one client. Sizes in bytes, times in seconds."""

    manifest: int = 4 << 20
    blob: int = 1 << 30
    referrers: int = 512
    """Descriptors that are looked at."""
    call: float = 60.0
    """One small call with all its retries: a manifest, a token, a list of referrers."""
    connect: float = 10.0
    stall: float = 20.0
    """Silence in the middle of an answer that counts as a cut."""
    least_rate: int = 8 << 10
    """Bytes per second, averaged over a blob, below which it is given up."""
    grace: float = 60.0
    """What a blob may take whatever its size."""
    attempts: int = 5
    """Tries in a row that bring nothing."""
    mirror_attempts: int = 2
    backoff: float = 0.25
    """Most that is waited before the second try; doubles up to `backoff_most`, and is drawn by chance below that."""
    backoff_most: float = 10.0
    retry_after: float = 30.0
    """Longest wait that a registry may ask for."""
    mirror_rest: float = 30.0
    """How long a mirror that was away is passed over."""
    connections: int = 24
    connections_per_host: int = 6
    chunk: int = 8 << 20
    """Part of an upload that is sent at once."""
