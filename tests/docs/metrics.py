"""The table of metrics in docs/operators.md: `python -m tests.docs.metrics` writes it again."""

from __future__ import annotations

import re
from collections.abc import Iterator

from conductor.api.counts import BOUNDS
from conductor.exporter.families import AGENT, PROGRAM, call_durations
from tests.docs.reading import DOCS

__all__ = ["PAGE", "PLACE", "rows"]

PAGE = DOCS / "operators.md"
PLACE = re.compile(r"(?<=<!-- metrics -->\n).*?(?=<!-- /metrics -->)", re.DOTALL)


def rows() -> Iterator[str]:
    """Lines of the table, in the order of the declarations."""
    yield "| metric | kind | meaning |"
    yield "|---|---|---|"
    for spec in (*PROGRAM, *AGENT, call_durations(BOUNDS)):
        labels = f"{{{','.join(spec.labels)}}}" if spec.labels else ""
        yield f"| `{spec.name}{labels}` | {spec.kind.value} | {spec.help} |"


if __name__ == "__main__":
    table = "".join(f"{row}\n" for row in rows())
    PAGE.write_text(PLACE.sub(lambda _: table, PAGE.read_text()))
