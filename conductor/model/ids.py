"""Ids and names that must not be mixed up."""

from __future__ import annotations

import re
from typing import NewType

from conductor.errors import InvalidSpec

__all__ = ["LinkId", "MapId", "Name", "ProgramId", "parse_name"]

ProgramId = NewType("ProgramId", int)
"""Kernel id of a BPF program; unique until reboot, never to be trusted across a boot id."""
LinkId = NewType("LinkId", int)
"""The daemon's id of a link; not the kernel's."""
MapId = NewType("MapId", int)
"""Kernel id of a BPF map."""
Name = NewType("Name", str)
"""Name of a wish, checked by `parse_name`."""

_NAME = re.compile(r"[a-z0-9]([-_.a-z0-9]{0,61}[a-z0-9])?")


def parse_name(raw: object, field: str = "name") -> Name:
    """Check a program's name. Raises `InvalidSpec`."""
    if not isinstance(raw, str) or not _NAME.fullmatch(raw):
        shown = repr(raw)[:80]
        raise InvalidSpec(field, f"{shown} is not a name: 1 to 63 of a-z 0-9 - _ . with a letter or digit at both ends")
    return Name(raw)
