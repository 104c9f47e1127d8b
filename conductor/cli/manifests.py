"""`conductor apply|diff|delete -f`: the YAML that the cluster takes, on a machine without one."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from conductor.cli import shapes
from conductor.cli.output import Format, harmless, note, output_option, write
from conductor.cli.session import with_agent
from conductor.errors import InvalidSpec
from conductor.model.agent import Change

if TYPE_CHECKING:
    from conductor.client import Agent

__all__ = ["apply", "batches", "delete", "diff", "with_digests"]

_SUFFIXES = {".yaml", ".yml", ".json"}
_BATCH = 200 << 10
_FILES = click.option(
    "-f",
    "--filename",
    "files",
    metavar="FILE|DIR|-",
    multiple=True,
    required=True,
    help="Manifest, folder of them, or -.",
)
_EXAMPLES = (
    "\b\nExamples:\n  conductor {0} -f tool.yaml\n  conductor {0} -f manifests/\n  cat tool.yaml | conductor {0} -f -"
)
Upload = Callable[[Path], Awaitable[str]]
_Text = TypeVar("_Text", str, bytes)


@click.command(epilog=_EXAMPLES.format("apply"))
@_FILES
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@output_option
@with_agent()
async def apply(agent: Agent, *, files: Sequence[str], dry_run: bool, form: Format) -> None:
    """Make this machine as manifests say: KernelProgram and UserProgram, as a cluster takes them.

    Objects and modules named by `path` are read here and sent to the agent, which keeps them by digest.
    """
    _show(await _applied(agent, files, dry_run=dry_run), form, dry_run=dry_run)


@click.command(epilog=_EXAMPLES.format("diff"))
@_FILES
@output_option
@with_agent()
async def diff(agent: Agent, *, files: Sequence[str], form: Format) -> None:
    """Show what `apply` would change, line by line; prints nothing where nothing would."""
    changes = await _applied(agent, files, dry_run=True)
    if form != "table":
        _show(changes, form, dry_run=True)
        return
    for change in changes:
        click.echo(harmless(change.diff), nl=False)


@click.command(epilog=_EXAMPLES.format("delete"))
@_FILES
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@output_option
@with_agent()
async def delete(agent: Agent, *, files: Sequence[str], dry_run: bool, form: Format) -> None:
    """Remove the programs that manifests name; the rest of a manifest does not matter."""
    changes: list[Change] = []
    for batch in batches(_named(files)):
        changes += await agent.delete(_yaml(batch), dry_run=dry_run)
    _show(changes, form, dry_run=dry_run)


async def _applied(agent: Agent, files: Sequence[str], *, dry_run: bool) -> list[Change]:
    """Apply what files hold. A dry run sends objects too: the agent looks into them, and drops what nobody names."""
    changes: list[Change] = []
    for batch in batches(_checked(files)):
        text = _yaml([await with_digests(document, agent.upload) for document in batch])
        changes += await agent.apply(text, dry_run=dry_run)
    return changes


async def with_digests(document: dict[str, Any], upload: Upload) -> dict[str, Any]:
    """Name by digest what a manifest names by a path that we can read; the agent need not reach it then."""
    spec = document.get("spec")
    places = [spec.get("bytecode"), (spec.get("source") or {}).get("wasm")] if isinstance(spec, dict) else []
    for place in places:
        if not isinstance(place, dict) or not place.get("path") or place.get("digest"):
            continue
        if _readable(str(place["path"])):
            place["digest"] = await upload(Path(str(place["path"])))
    return document


def batches(documents: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Cut documents into requests that the agent takes."""
    batch: list[dict[str, Any]] = []
    size = 0
    for document in documents:
        more = len(_yaml([document]).encode())
        if batch and size + more > _BATCH:
            yield batch
            batch, size = [], 0
        batch.append(document)
        size += more
    if batch:
        yield batch


def _checked(files: Sequence[str]) -> list[dict[str, Any]]:
    """Documents of all files, each file checked whole before anything is sent. Raises `InvalidSpec` with the file."""
    from conductor.api.manifests import documents, specs_of  # noqa: PLC0415 - YAML only where there is some

    found = []
    for name, text in _texts(files):
        with _of_file(name):
            specs_of(text)
            found += documents(text)
    return found


def _named(files: Sequence[str]) -> list[dict[str, Any]]:
    from conductor.api.manifests import documents, keys_of  # noqa: PLC0415 - as above

    found = []
    for name, text in _texts(files):
        with _of_file(name):
            keys_of(text)
            found += documents(text)
    return found


@contextmanager
def _of_file(name: str) -> Iterator[None]:
    """Put the file's name before the field of an `InvalidSpec`."""
    try:
        yield
    except InvalidSpec as exc:
        raise InvalidSpec(f"{name}: {exc.field}", exc.problem) from None


def _texts(files: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name in files:
        if name == "-":
            yield "stdin", _bounded("stdin", sys.stdin.read(_most() + 1))
            continue
        path = Path(name)
        for file in _in_folder(path) if path.is_dir() else (path,):
            try:
                with file.open("rb") as stream:
                    data = stream.read(_most() + 1)
                yield str(file), _bounded(str(file), data).decode()
            except OSError as exc:
                raise InvalidSpec(str(file), exc.strerror or str(exc)) from exc
            except UnicodeDecodeError:
                raise InvalidSpec(str(file), "not UTF-8 text") from None


def _most() -> int:
    from conductor.api.documents import MAX_TEXT  # noqa: PLC0415 - as above

    return MAX_TEXT


def _bounded(name: str, read: _Text) -> _Text:
    """Refuse what is longer than any manifest, of which no more was read: a device never ends."""
    if len(read) > _most():
        raise InvalidSpec(name, f"longer than {_most() >> 10} KiB: apply it in parts")
    return read


def _in_folder(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES and path.is_file())
    if not found:
        raise InvalidSpec(str(folder), "holds no .yaml, .yml or .json file")
    return found


def _readable(path: str) -> bool:
    """Whether it is a file that we can send; the agent may reach what we cannot, and says so where it does not."""
    return Path(path).is_file() and os.access(path, os.R_OK)


def _yaml(documents: Sequence[dict[str, Any]]) -> str:
    import yaml  # noqa: PLC0415 - as above

    return str(yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True))


def _show(changes: Sequence[Change], form: Format, *, dry_run: bool) -> None:
    if form in {"json", "yaml"}:
        write({"items": [shapes.change(change) for change in changes]}, form)
        return
    for change in changes:
        name = f"{change.kind.lower()}/{change.name}"
        click.echo(name if form == "name" else f"{name} {change.action}")
    if dry_run and form != "name":
        note("Nothing was changed: this was a dry run.")
