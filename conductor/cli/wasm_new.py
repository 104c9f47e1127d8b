"""`conductor wasm new`: a folder with a program that builds and runs as it stands."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import click

from conductor.cli.output import note
from conductor.cli.wasm_project import Language, sdk_folder
from conductor.errors import AlreadyExists, NotFound, StateUnwritable
from conductor.model.ids import parse_name

__all__ = ["make", "new"]

_WITH_KERNEL, _WITHOUT = "syscall_counter", "psi_watch"
_SDK = {
    Language.C: "conductor.h",
    Language.RUST: "conductor",
    Language.GO: "conductor",
    Language.ASSEMBLYSCRIPT: "conductor.ts",
}
_CODE = {".c", ".rs", ".go", ".ts"}
_LEFT_OUT = shutil.ignore_patterns("target", "node_modules")


@click.command(
    epilog="\b\nExamples:\n  conductor wasm new counter --lang c\n  conductor wasm new watcher --lang rust --no-kernel\n"
    "  conductor wasm new execs --lang c --example exec_snoop"
)
@click.argument("name")
@click.option(
    "--lang", required=True, type=click.Choice([language.value for language in Language]), help="Language of the guest."
)
@click.option("--no-kernel", is_flag=True, help="A program without a kernel half.")
@click.option("--example", metavar="EXAMPLE", help="Begin with this example of the SDK.")
def new(name: str, *, lang: str, no_kernel: bool, example: str | None) -> None:
    """Make the folder NAME: guest, kernel half, needs, manifest, and a test on a recording.

    NAME may be a path; its last part is the program's name.
    """
    if example and no_kernel:
        raise click.UsageError("--example says by itself whether there is a kernel half; leave --no-kernel out")
    folder = Path(name)
    make(folder, Language(lang), example or (_WITHOUT if no_kernel else _WITH_KERNEL))
    click.echo(folder)
    note(f"Next: conductor wasm build {folder}; {folder}/README.md says how to go on.")


def make(folder: Path, language: Language, example: str) -> None:
    """Write the folder. Raises `AlreadyExists`, `InvalidSpec`, `NotFound`, `StateUnwritable`."""
    name = parse_name(folder.resolve().name, "NAME")
    sdk = sdk_folder()
    own = sdk / language.value
    known = sorted(path.name for path in (own / "examples").iterdir())
    if example not in known:
        raise NotFound(f"the {language.value} SDK has no example {example}; it has {', '.join(known)}")
    if folder.exists() and any(folder.iterdir() if folder.is_dir() else [folder]):
        raise AlreadyExists(f"{folder} is there already and not empty; choose another name")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for origin in (sdk / "template", own / "template", sdk / "examples" / example, own / "examples" / example):
            _copy(origin, folder, stem=example, name=name)
        _copy_sdk(own / _SDK[language], folder)
    except OSError as exc:
        raise StateUnwritable(f"cannot write {exc.filename or folder}: {exc.strerror}") from exc


def _copy(origin: Path, folder: Path, *, stem: str, name: str) -> None:
    for file in sorted(origin.glob("*")):
        target = folder / file.name.replace(stem, name).replace("dot-", ".")
        target.write_text(_told(file.read_text(), target, stem=stem, name=name))


def _told(text: str, target: Path, *, stem: str, name: str) -> str:
    """The text with the program's own name: an identifier in code and metrics, a DNS name in the manifest."""
    word = re.sub(r"[^a-z0-9]", "_", name)
    word = f"n{word}" if word[0].isdigit() else word
    text = text.replace("../../conductor", "./conductor").replace("/path/to/", f"{target.parent.resolve()}/")
    text = text.replace("PROGRAM", name).replace(stem.replace("_", "-"), name.replace("_", "-"))
    if target.suffix in _CODE:
        return text.replace(stem, word)
    return re.sub(f"{stem}(_?)", lambda found: f"{word}_" if found[1] else name, text)


def _copy_sdk(origin: Path, folder: Path) -> None:
    if origin.is_dir():
        shutil.copytree(origin, folder / origin.name, ignore=_LEFT_OUT)
    else:
        shutil.copyfile(origin, folder / origin.name)
