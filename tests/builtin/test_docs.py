"""The example of docs/builtins.md is built and run as it stands there."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from conductor.bpf import links
from conductor.bpf.maps import BpfMap
from conductor.bpf.objects import BpfObject
from conductor.builtin.kit.build import build
from tests.builtin.world import FakeState, World, eventually

PAGE = Path(__file__).parents[2] / "docs" / "builtins.md"
BLOCK = re.compile(r"`(\S+)`:\n\n```\w+\n(.*?)```", re.DOTALL)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name, text in BLOCK.findall(PAGE.read_text()):
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def module(files: Path) -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("forks_of_the_page", files / "forks.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made
    spec.loader.exec_module(made)
    yield made
    del sys.modules[spec.name]


@pytest.mark.kernel
def test_the_example_counts(files: Path, module: ModuleType) -> None:
    if shutil.which("clang") is None or shutil.which("llvm-strip") is None:
        pytest.skip("needs clang and llvm-strip (Debian packages clang and llvm)")
    build(files / "forks.bpf.c", files / "forks.bpf.o")
    with BpfObject.open(files / "forks.bpf.o") as kernel_object:
        kernel_object.load()
        (function,) = module.Forks.kernel_half
        with (
            links.tracepoint(kernel_object.program_fd(function.name), function.links[0].name),
            BpfMap.from_fd(os.dup(kernel_object.map_fd("forks"))) as forks,
        ):
            world = World(state=FakeState(files / "state"), maps={"forks": forks})
            program = world.open(module.Forks)
            mine = Path("/proc/self/comm").read_text().strip()
            program.tick()
            before = sum(world.values("forks_total", process=mine))
            subprocess.run(["true"], check=True)

            def more() -> bool:
                program.tick()
                return sum(world.values("forks_total", process=mine)) > before

            eventually(more, expected=True)
            program.close()


def test_the_example_is_clean(files: Path) -> None:
    (files / "__init__.py").touch()
    for command in (["ruff", "check", "--no-cache"], ["ruff", "format", "--no-cache", "--check"]):
        found = shutil.which(command[0], path=str(Path(sys.executable).parent))
        if found is None:
            pytest.skip("needs ruff beside the interpreter")
        config = ["--config", str(PAGE.parents[1] / "pyproject.toml")]
        subprocess.run([found, *command[1:], *config, str(files / "forks.py")], check=True)
