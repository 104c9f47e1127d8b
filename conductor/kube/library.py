"""kubernetes-asyncio's REST client, without the packages above it.

Importing `kubernetes_asyncio.client` as anybody would takes 1.7 s and 68 MiB: it executes 800 modules of models, and we
use plain dicts. `client.rest` alone takes 10 ms and 0.6 MiB beside aiohttp.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from types import ModuleType
from typing import Any

__all__ = ["rest"]


def rest() -> Any:
    """Import `kubernetes_asyncio.client.rest`; its packages stay as they are where somebody imported them before."""
    top = _bare("kubernetes_asyncio", None)
    top.client = _bare("kubernetes_asyncio.client", list(top.__path__))
    return import_module("kubernetes_asyncio.client.rest")


def _bare(name: str, path: list[str] | None) -> Any:
    """A package that modules can be imported from, its own code not executed."""
    if (found := sys.modules.get(name)) is not None:
        return found
    if (spec := PathFinder.find_spec(name, path)) is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    module: ModuleType = module_from_spec(spec)
    sys.modules[name] = module
    return module
