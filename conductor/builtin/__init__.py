"""Programs that come with the agent: one stem each, `NAME.py` and, with a kernel half, `NAME.bpf.c` and `NAME.bpf.o`.

May import errors, model, ports and numpy. Importing a module runs nothing and registers nothing: `BUILTINS` is a
literal tuple. How to add one: docs/builtins.md.
"""

from __future__ import annotations

from pathlib import Path

from conductor.builtin.host_pressure import HostPressure
from conductor.builtin.kit.declared import Builtin, parse_config
from conductor.builtin.service_map import ServiceMap
from conductor.errors import NotFound

__all__ = ["BUILTINS", "Builtin", "find", "object_path", "parse_config"]

BUILTINS: tuple[type[Builtin], ...] = (HostPressure, ServiceMap)


def find(name: str) -> type[Builtin]:
    """Answer the built-in of a stem. Raises `NotFound` with the stems that exist."""
    for builtin in BUILTINS:
        if builtin.name == name:
            return builtin
    raise NotFound(f"there is no built-in {name!r}; this agent has {', '.join(each.name for each in BUILTINS)}")


def object_path(name: str) -> Path:
    """Path of a built-in's compiled kernel half. Raises `NotFound` where there is none."""
    path = Path(__file__).parent / f"{find(name).name}.bpf.o"
    if not path.is_file():
        raise NotFound(f"the built-in {name} has no kernel half")
    return path
