"""`conductor units`: the systemd units of loader and agent, as they stand in `conductor/systemd`."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import click

from conductor.errors import StateUnwritable

__all__ = ["NAMES", "units"]

NAMES = ("ebpfconductor-loader.service", "ebpfconductor-agent.service")
_SHIPPED = "/usr/local/bin/conductor"


@click.command(
    epilog="\b\nExamples:\n  conductor units\n  sudo conductor units --to /etc/systemd/system\n"
    "Then: systemctl daemon-reload, and systemctl enable --now with both names."
)
@click.option("--to", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Write them there.")
def units(to: Path | None) -> None:
    """Print the systemd units of loader and agent, or write them to a folder; they start this very program."""
    for name, text in _texts():
        if to is None:
            click.echo(f"# {name}\n{text}")
        else:
            click.echo(_written(to / name, text))


def _texts() -> Iterator[tuple[str, str]]:
    folder = files("conductor") / "systemd"
    for name in NAMES:
        yield name, (folder / name).read_text().replace(_SHIPPED, _command())


def _command() -> str:
    """Path under which this program was called, or where it is found."""
    called = Path(sys.argv[0])
    if called.name == "conductor" and os.access(called, os.X_OK):
        return str(called.absolute())
    return shutil.which("conductor") or _SHIPPED


def _written(path: Path, text: str) -> Path:
    aside = path.with_name(f".{path.name}.new")
    try:
        aside.write_text(text)
        aside.chmod(0o644)
        aside.replace(path)
    except OSError as exc:
        raise StateUnwritable(f"{path} cannot be written: {exc.strerror}; choose another folder, or sudo") from exc
    return path
