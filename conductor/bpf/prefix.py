"""Pins that lie elsewhere for us than for the daemon that made them, as in two containers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from conductor.bpf.maps import open_map
from conductor.model.grants import Access
from conductor.ports import MapHandle, MapOpener

__all__ = ["map_opener"]


def map_opener(prefixes: Sequence[tuple[Path, Path]]) -> MapOpener:
    """Open maps by the daemon's paths, as far as they lie elsewhere for us (`--pin-prefix`)."""

    def opener(pin: Path, access: Access) -> MapHandle:
        for theirs, ours in prefixes:
            if pin.is_relative_to(theirs):
                return open_map(ours / pin.relative_to(theirs), access)
        return open_map(pin, access)

    return opener
