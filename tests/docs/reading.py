"""What the documents show: blocks by language, and the commands among them."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["DOCS", "ROOT", "blocks", "commands", "section"]

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def blocks(text: str, language: str) -> list[str]:
    """Fenced blocks of a language; empty: those without one."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [block for name, block in fenced if name == language]


def section(text: str, heading: str) -> str:
    """What stands below a heading of the second level, up to the next one."""
    _, found, rest = text.partition(f"\n## {heading}\n")
    assert found, heading
    return rest.partition("\n## ")[0]


def commands(text: str) -> list[str]:
    """Lines of shell blocks and, where a block has no language, those that begin with a command of ours."""
    shown = "".join(blocks(text, "sh")).replace("\\\n", " ").splitlines()
    plain = [line for block in blocks(text, "") for line in block.splitlines()]
    shown += [line for line in plain if re.match(r"(sudo )?conductor |cat .*\| conductor ", line)]
    return [line.strip() for line in shown if line.split("#")[0].strip()]
