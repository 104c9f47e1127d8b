"""What the documents show: blocks by language, and the commands among them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

__all__ = ["DOCS", "ROOT", "blocks", "commands"]

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def blocks(text: str, language: str) -> list[str]:
    """Fenced blocks of a language; empty: those without one."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands(text: str) -> list[list[str]]:
    """Words of every line in shell blocks, comments and `sudo` left out; a line that goes on in the next is one."""
    shown = "".join((*blocks(text, "sh"), *blocks(text, ""))).replace("\\\n", " ")
    lines = [shlex.split(line, comments=True) for line in shown.splitlines() if line.strip()]
    return [words[1:] if words[:1] == ["sudo"] else words for words in lines if words]
