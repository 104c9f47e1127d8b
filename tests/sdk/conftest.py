"""Programs made and built by the command line, in folders of their own.

`CONDUCTOR_SDK` names the languages whose compilers must be there (`nox -s sdk` sets it); without it C alone is built.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conductor.cli.wasm_project import Language, sdk_folder
from conductor.cli.wasm_tools import missing
from tests.e2e.node import Node, launched

ROOT = Path(__file__).parents[2]
REQUIRED = tuple(Language(name) for name in os.environ.get("CONDUCTOR_SDK", "").split(",") if name)
LANGUAGES = REQUIRED or (Language.C,)
Conduct = Callable[..., subprocess.CompletedProcess[str]]
Make = Callable[[Language, str], Path]


def examples_of(language: Language) -> list[str]:
    return sorted(path.name for path in (sdk_folder() / language.value / "examples").iterdir())


@pytest.fixture(scope="session")
def conduct() -> Conduct:
    """Run the command line in a process of its own."""

    def run(*words: str | Path, ok: bool = True) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "conductor", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        if ok:
            assert done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}"
        return done

    return run


@pytest.fixture(scope="session")
def made(conduct: Conduct, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Make and build an example in a language; once each. What compilers can share of earlier builds is shared."""
    built: dict[tuple[Language, str], Path] = {}
    shared: dict[Language, Path] = {}

    def make(language: Language, example: str) -> Path:
        if (language, example) in built:
            return built[language, example]
        lacks = missing(language, kernel_half=True)
        if lacks and language not in REQUIRED:
            pytest.skip(f"needs the Debian packages {', '.join(lacks.values())}")
        folder = tmp_path_factory.mktemp("guests") / example
        conduct("wasm", "new", folder, "--lang", language.value, "--example", example)
        if language is Language.ASSEMBLYSCRIPT and language in shared:
            shutil.copytree(shared[language] / "node_modules", folder / "node_modules", symlinks=True)
        conduct("wasm", "build", folder)
        shared.setdefault(language, folder)
        built[language, example] = folder
        return folder

    return make


@pytest.fixture
def node() -> Iterator[Node]:
    """A node with the real loader."""
    with launched() as node:
        node.start("--kernel", "embedded")
        yield node


@pytest.fixture
def greeter(tmp_path: Path) -> str:
    """A program that nobody else starts."""
    name = f"greet{tmp_path.stat().st_ino % 10**8}"
    shutil.copy("/bin/true", tmp_path / name)
    return str(tmp_path / name)
