"""Compile kernel halves: `python -m conductor.builtin.kit.build [STEM...]` writes `STEM.bpf.o` beside `STEM.bpf.c`.

The objects are part of the source tree, so that nobody needs clang to run. The same clang gives the same bytes
wherever the tree lies; a test builds again and compares.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

__all__ = ["COMPILE", "COMPILER", "INCLUDES", "STRIP", "build", "sources"]

HERE = Path(__file__).parent.parent
COMPILE = ("clang", "-O2", "-g", "-target", "bpf", "-mcpu=v3", "-Wall", "-Wextra", "-Werror")
"""-mcpu=v3 for atomic exchange (kernel 5.12; arm64 5.18); -g for BTF."""
COMPILER = "Debian clang version 14.0.6"
"""First line of `clang --version` where the objects were built; another one gives other bytes."""
STRIP = ("llvm-strip", "-g")
"""DWARF goes, BTF stays."""
INCLUDES = tuple(f"-I/usr/include/{triple}" for triple in ("x86_64-linux-gnu", "aarch64-linux-gnu"))
"""Where Debian keeps asm/types.h, which `-target bpf` does not look into by itself."""


def sources(folder: Path = HERE) -> tuple[Path, ...]:
    """Every kernel half in a folder of stems."""
    return tuple(sorted(folder.glob("*.bpf.c")))


def build(source: Path, target: Path, *more: str) -> None:
    """Compile one kernel half; `more` are options of clang. Raises `subprocess.CalledProcessError`, or `FileNotFoundError` without clang."""
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = Path(folder) / target.name
        where = f"-ffile-prefix-map={source.parent}="
        subprocess.run(
            [*COMPILE, *INCLUDES, where, *more, "-c", source.name, "-o", str(made)], cwd=source.parent, check=True
        )
        subprocess.run([*STRIP, str(made)], check=True)
        made.replace(target)


if __name__ == "__main__":
    for each in sources():
        stem = each.name.removesuffix(".bpf.c")
        if not sys.argv[1:] or stem in sys.argv[1:]:
            build(each, each.with_suffix(".o"))
