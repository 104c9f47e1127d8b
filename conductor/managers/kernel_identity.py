"""Who an agent is to a kernel daemon: an id that lives as long as its state directory, whatever the host is called."""

from __future__ import annotations

import logging
import re
import uuid
from pathlib import Path

from conductor.managers.durable import keep_aside, write_whole

__all__ = ["identity"]

log = logging.getLogger(__name__)
_ID = re.compile(r"[0-9a-f]{32}")


def identity(path: Path) -> str:
    """Read the id, or make it once and for all. Raises `StateUnwritable`.

    One that cannot be read is put aside: what it loaded is then another's, never unloaded, and said.
    """
    try:
        kept = path.read_text().strip()
        if _ID.fullmatch(kept):
            return kept
        log.warning("%s holds no id, kept as %s; what was loaded before is another's now", path, keep_aside(path))
    except FileNotFoundError:
        pass
    except (OSError, UnicodeDecodeError) as error:
        log.warning("%s is unreadable, kept as %s: %s", path, keep_aside(path), error)
    made = uuid.uuid4().hex
    write_whole(path, f"{made}\n".encode())
    return made
