"""`-o table|wide|json|yaml|name`: one document on standard output, nothing else."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import click

__all__ = [
    "Column",
    "Format",
    "Table",
    "coloured",
    "columns",
    "harmless",
    "json_text",
    "note",
    "output_option",
    "plain",
    "show",
    "state_style",
    "write",
]

_CONTROLS = re.compile("[\x7f-\x9f]")
Format = Literal["table", "wide", "json", "yaml", "name"]
Document = Mapping[str, Any]
_COLOURS = {
    "Running": "green",
    "Waiting": "yellow",
    "Pulling": "yellow",
    "Updating": "yellow",
    "Failed": "red",
    "Quarantined": "red",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its head, how a document fills it, whether only `wide` shows it."""

    head: str
    cell: Callable[[Document], str]
    wide: bool = False
    style: Callable[[str], str] = str
    """Applied to the finished cell, so that what a program says cannot colour, or move, a terminal."""


Table = Sequence[Column]


def output_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `-o`."""
    choice = click.Choice(["table", "wide", "json", "yaml", "name"])
    return click.option(
        "-o", "--output", "form", type=choice, default="table", show_default=True, help="Form of output."
    )(command)


def show(items: Sequence[Document], table: Table, form: Format, *, empty: str = "") -> None:
    """Print a list; an empty table is a note on standard error, an empty list in JSON is still a document."""
    if form in {"json", "yaml"}:
        write({"items": list(items)}, form)
    elif form == "name":
        _print("".join(f"{item['name']}\n" for item in items))
    elif items:
        _print(columns(items, table, wide=form == "wide"))
    else:
        note(empty)


def write(document: Document | Sequence[Document], form: Format) -> None:
    """Print one document as JSON or YAML."""
    if form == "yaml":
        _print(_yaml_text(document))
    else:
        _print(json_text(document, indent=2) + "\n")


def json_text(document: Any, *, indent: int | None = None) -> str:
    """Print JSON that moves no terminal: it leaves DEL and the C1 controls as they are, and they act on some."""
    return _CONTROLS.sub(
        lambda found: f"\\u{ord(found[0]):04x}", json.dumps(document, indent=indent, ensure_ascii=False)
    )


def _yaml_text(document: Any) -> str:
    """Print YAML; what holds a control character is quoted with escapes (a bare NEL would be left as it is)."""
    import yaml  # noqa: PLC0415 - only for those who ask for it

    class Dumper(yaml.SafeDumper):
        pass

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = '"' if _CONTROLS.search(value) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return str(yaml.dump(document, Dumper=Dumper, sort_keys=False, allow_unicode=True))


def columns(items: Iterable[Document], table: Table, *, wide: bool = False, head: bool = True) -> str:
    """Lay out rows in columns, two spaces between, no trailing blanks."""
    shown = [column for column in table if wide or not column.wide]
    rows = [[plain(column.cell(item)) for column in shown] for item in items]
    heads = [column.head for column in shown]
    widths = [max([len(title) * head, *(len(row[i]) for row in rows)]) for i, title in enumerate(heads)]
    styles = [column.style for column in shown]
    lines = [_row(heads, widths, [str] * len(shown))] if head else []
    return "".join([*lines, *(_row(row, widths, styles) for row in rows)])


def state_style(padded: str) -> str:
    """A state in its colour, where output is a terminal."""
    return coloured(padded, _COLOURS.get(padded.strip()))


def coloured(cell: str, colour: str | None) -> str:
    """A cell in a colour, where output is a terminal."""
    return click.style(cell, fg=colour) if colour and sys.stdout.isatty() else cell


def note(text: str) -> None:
    """Say something beside the document, on standard error."""
    if text:
        click.echo(harmless(text), err=True)


def _row(cells: Sequence[str], widths: Sequence[int], styles: Sequence[Callable[[str], str]]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
    padded[-1] = padded[-1].rstrip()
    return "  ".join(style(cell) for style, cell in zip(styles, padded, strict=True)).rstrip() + "\n"


def plain(text: str) -> str:
    """One line without control characters."""
    return "".join(c if c.isprintable() else " " for c in text)


def harmless(text: str) -> str:
    """Lines without control characters: what is shown may be anybody's."""
    return "\n".join(map(plain, text.split("\n")))


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
