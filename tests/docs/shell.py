"""A shell beside a node, as the reader of a document has one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.e2e.node import Node

__all__ = ["environment"]


def environment(node: Node, place: Path) -> dict[str, str]:
    """Variables that send every command to the node, and a `conductor` and a `sudo` on the way."""
    for name, script in {"conductor": f'exec {sys.executable} -m conductor "$@"', "sudo": 'exec "$@"'}.items():
        (place / name).write_text(f"#!/bin/sh\n{script}\n")
        (place / name).chmod(0o755)
    places = {f"CONDUCTOR_{flag[2:].replace('-', '_').upper()}": value for flag, value in node.paths().items()}
    path = f"{place}:{os.environ['PATH']}"
    return os.environ | places | {"CONDUCTOR_HTTP_ADDRESS": f"127.0.0.1:{node.port}", "PATH": path}
