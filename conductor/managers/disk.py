"""Room on the disk that the state directory lies on."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["disk_problem"]

NEEDED = 64 << 10
"""Bytes below which a disk counts as full: a write of ours is whole or not at all, so it needs the room twice."""


def disk_problem(place: Path) -> str:
    """Say that the disk below `place` has no room for what must be kept; empty while it has, or cannot be asked."""
    try:
        disk = os.statvfs(place)
    except OSError:
        return ""
    if disk.f_bavail * disk.f_frsize >= NEEDED and (disk.f_favail or not disk.f_files):
        return ""
    return f"the disk of {place} is full: what runs goes on, nothing new is kept; free space there"
