"""What a server process does to start fast and stay small; each step with the figures that justify it.

Measured on two cores with Python 3.11, aiohttp 3.14, pyroute2 0.9 and numpy 2.4.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import sys
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

from typing_extensions import override

__all__ = ["begin", "defer", "settle"]

_M_ARENA_MAX = -8
"""malloc.h of glibc; another C library has no mallopt, or takes no notice."""


def begin() -> None:
    """Prepare the imports of a server; call before numpy, aiohttp or pyroute2 are imported."""
    # OpenBLAS starts a thread per further core (40 MiB of address space each) for linear algebra, which nobody does here.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # glibc gives most threads a heap of their own, and a program's parts come from several: 65 KiB each instead of 61.
    if (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(_M_ARENA_MAX, 2)
    # Imports make 80,000 objects and no garbage: 220 collections find nothing in 30 ms.
    gc.disable()
    defer("aiohttp")  # its client, and with it every CA certificate: 50 ms, 4 MiB
    defer("pyroute2")  # everything but rtnetlink, such as a database: 30 ms, 6 MiB


def settle() -> None:
    """Collect garbage from now on, and never look again at what start-up made: a full round took 15 ms of the loop."""
    gc.enable()
    gc.collect()
    gc.freeze()


def defer(package: str) -> None:
    """Let submodules of a package be imported without its `__init__`, which runs once anything else is asked for.

    For one thread at a time: another one could see the package half made. Does nothing if it is imported already.
    """
    if package in sys.modules or not (spec := find_spec(package)):
        return
    module = module_from_spec(spec)
    module.__class__ = _Deferred
    sys.modules[package] = module


class _Deferred(ModuleType):
    """A package that was not executed yet."""

    @override
    def __getattr__(self, name: str) -> Any:
        if name == "__version__":
            from importlib.metadata import version  # noqa: PLC0415 - 15 ms, and whoever begins again pays them twice

            return version(self.__name__)
        if find_spec(f"{self.__name__}.{name}"):
            return importlib.import_module(f"{self.__name__}.{name}")
        self.__class__ = ModuleType  # type: ignore[assignment] # what it is from here on
        if self.__spec__ and self.__spec__.loader:
            self.__spec__.loader.exec_module(self)
        return getattr(self, name)
