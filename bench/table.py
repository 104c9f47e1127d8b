"""One row of the bench's table, and the table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from rich.console import Console
from rich.table import Table

__all__ = ["Row", "show"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What was measured: ours against a rival's in the same run; `most` bounds ours/rival, `least` rival/ours."""

    name: str
    ours: float
    unit: str = "ms"
    rival: float | None = None
    who: str = ""
    most: float | None = None
    """Target: ours is at most this many times the rival's (or, without a rival, this many units)."""
    note: str = ""
    group: str = ""
    """Rows of one group share a table of this title."""

    @property
    def ratio(self) -> float | None:
        """How many times the rival's figure ours is; below 1 we are better."""
        return self.ours / self.rival if self.rival else None

    @property
    def verdict(self) -> str:
        """Whether the target was reached in this run; empty where none is set."""
        if self.most is None:
            return ""
        figure = self.ratio if self.ratio is not None else self.ours
        return "reached" if figure <= self.most else "MISSED"


def show(rows: Iterable[Row]) -> None:
    """Print a table for each group to standard output."""
    for group, these in groupby(rows, key=lambda row: row.group):
        _show(group or "ratios of one run on this machine", these)


def _show(title: str, rows: Iterable[Row]) -> None:
    table = Table(title=f"nox -s bench: {title}")
    for name in ("what", "ours", "rival", "", "ours/rival", "target", ""):
        table.add_column(name, justify="right" if name in {"ours", "rival", "ours/rival", "target"} else "left")
    for row in rows:
        rival = f"{row.rival:,.3g} {row.unit}" if row.rival is not None else ""
        ratio = f"{row.ratio:.3g}" if row.ratio is not None else ""
        unit = "" if row.rival is not None else f" {row.unit}"
        target = f"<= {row.most:.3g}{unit}" if row.most is not None else ""
        table.add_row(
            row.name,
            f"{row.ours:,.3g} {row.unit}",
            rival,
            row.who,
            ratio,
            target,
            "; ".join(filter(None, (row.verdict, row.note))),
        )
    Console(width=150).print(table)
