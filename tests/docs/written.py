"""What in the documents follows from the code: `python -m tests.docs.written` writes it again."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from conductor.api.counts import BOUNDS
from conductor.exporter.cluster_families import CLUSTER
from conductor.exporter.families import AGENT, PROGRAM, call_durations
from tests.docs import fields
from tests.docs.reading import DOCS, ROOT
from tests.docs.reasons import reasons

__all__ = ["PARTS", "Part", "metrics", "part", "sessions"]

Part = tuple[str, str]
"""A document, and the name between whose marks the part lies."""


def metrics() -> Iterator[str]:
    """A table of the agent's metrics, in the order of their declarations."""
    yield "| metric | kind | meaning |"
    yield "|---|---|---|"
    for spec in (*PROGRAM, *AGENT, call_durations(BOUNDS), *CLUSTER):
        labels = f"{{{','.join(spec.labels)}}}" if spec.labels else ""
        yield f"| `{spec.name}{labels}` | {spec.kind.value} | {spec.help} |"


def sessions() -> Iterator[str]:
    """A table of the sessions of nox, each in its own words."""
    yield "| session | what it does |"
    yield "|---|---|"
    for node in ast.parse((ROOT / "noxfile.py").read_text()).body:
        if isinstance(node, ast.FunctionDef) and any(ast.unparse(d) == "nox.session" for d in node.decorator_list):
            yield f"| `{node.name}` | {(ast.get_docstring(node) or '').splitlines()[0]} |"


PARTS = {
    ("operators.md", "metrics"): metrics,
    ("contributing.md", "sessions"): sessions,
    ("troubleshooting.md", "reasons"): reasons,
    ("manifests.md", "kernel-program"): fields.kernel_program,
    ("manifests.md", "user-program"): fields.user_program,
    ("manifests.md", "node-state"): fields.node_state,
}


def part(name: str) -> re.Pattern[str]:
    """Matches what lies between the marks of a part."""
    return re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", re.DOTALL)


def text(rows: Iterator[str]) -> str:
    """Lines as a document holds them."""
    return "".join(f"{row}\n" for row in rows)


if __name__ == "__main__":
    for (document, name), rows in PARTS.items():
        page = DOCS / document
        before, _, rest = page.read_text().partition(f"<!-- {name} -->\n")
        _, _, after = rest.partition(f"<!-- /{name} -->")
        page.write_text(f"{before}<!-- {name} -->\n{text(rows())}<!-- /{name} -->{after}")
