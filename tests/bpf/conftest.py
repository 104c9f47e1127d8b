"""Objects opened and loaded for one test; all of it is closed at its end."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from conductor.bpf.maps import BpfMap
from conductor.bpf.objects import BpfObject


class Loader(Protocol):
    def __call__(self, name: str, *select: str, data: Mapping[str, bytes] | None = None) -> BpfObject: ...


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def opened(compiled: Callable[[str], Path], stack: ExitStack) -> Callable[[str], BpfObject]:
    return lambda name: stack.enter_context(BpfObject.open(compiled(name)))


@pytest.fixture
def loaded(opened: Callable[[str], BpfObject]) -> Loader:
    def load(name: str, *select: str, data: Mapping[str, bytes] | None = None) -> BpfObject:
        made = opened(name)
        if select:
            made.select(select)
        for variable, value in (data or {}).items():
            made.set_global(variable, value)
        made.load()
        return made

    return load


@pytest.fixture
def map_of(stack: ExitStack) -> Callable[[BpfObject, str], BpfMap]:
    return lambda made, name: stack.enter_context(BpfMap.from_fd(os.dup(made.map_fd(name))))


HOOKS = ("xdp", "tcx", "raw", "btf", "uprobe", "uretprobe", "perf", "cgroup", "tc", "kprobe")


@pytest.fixture
def runs(map_of: Callable[[BpfObject, str], BpfMap]) -> Callable[[BpfObject, str], int]:
    """How often a program of hooks.bpf.c has run."""

    def read(made: BpfObject, hook: str) -> int:
        counters = struct.unpack("<16Q", map_of(made, "hooks.bss").lookup(bytes(4)) or b"")
        return int(counters[HOOKS.index(hook)])

    return read
