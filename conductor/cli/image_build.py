"""`conductor image build wasm|bytecode`: package files; the same files give the same digest anywhere."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from conductor.cli.output import note, write
from conductor.errors import ImageUnusable, InvalidSpec, ObjectUnreadable
from conductor.model.image import ImageKind, Platform, Reference

__all__ = ["build", "built_images"]

_LARGEST = 64 << 20
_TYPES = {
    "xdp": "xdp",
    "classifier": "tc",
    "tc": "tc",
    "tcx": "tcx",
    "tracepoint": "tracepoint",
    "tp": "tracepoint",
    "kprobe": "kprobe",
    "kretprobe": "kretprobe",
    "uprobe": "uprobe",
    "uretprobe": "uretprobe",
    "fentry": "fentry",
    "fexit": "fexit",
    "lsm": "lsm",
}
"""First word of a section -> bpfman's word for the type, as the label io.ebpf.programs has it."""


def built_images() -> Path:
    """Where images lie between build and push: an OCI image layout in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "ebpfconductor" / "images"


@click.group(epilog="Images wait in an OCI layout in your cache until `conductor image push`.")
def build() -> None:
    """Package a wasm module or eBPF objects as an image."""


def _output(command: Any) -> Any:
    choice = click.Choice(["table", "json"])
    return click.option("-o", "--output", "form", type=choice, default="table", help="Form of output.")(command)


@build.command(epilog="\b\nExample:\n  conductor image build wasm counter.wasm registry.example/tools/counter:v1")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("reference", metavar="REF")
@click.option("--annotation", "annotations", metavar="K=V", multiple=True, help="Something to say of it.")
@_output
def wasm(file: Path, reference: str, *, annotations: Sequence[str], form: Any) -> None:
    """Package a core module as one application/wasm layer, as registries hold wasm today.

    What it needs and its ABI version go along as annotations, so that both can be seen before it is fetched.
    """
    from conductor.oci.pack import wasm_image  # noqa: PLC0415 - as in `bytecode`, for a quick --help
    from conductor.wasm.abi import NEEDS_SECTION, VERSION  # noqa: PLC0415
    from conductor.wasm.sections import sections  # noqa: PLC0415

    module = _read(file)
    needs = next((one.content.decode() for one in _sections(sections, module) if one.name == NEEDS_SECTION), "")
    packed = wasm_image(module, annotations=_words(annotations), title=file.name, abi=VERSION, needs=needs)
    _keep(reference, packed, ImageKind.WASM, form)


@build.command(
    epilog="\b\nExamples:\n  conductor image build bytecode x.bpf.o registry.example/tools/x:v1\n"
    "  conductor image build bytecode linux/amd64=x.o linux/arm64=x-arm.o registry.example/tools/x:v1"
)
@click.argument("files", metavar="[PLATFORM=]FILE...", nargs=-1, required=True)
@click.argument("reference", metavar="REF")
@click.option("--annotation", "annotations", metavar="K=V", multiple=True, help="Something to say of it.")
@_output
def bytecode(files: Sequence[str], reference: str, *, annotations: Sequence[str], form: Any) -> None:
    """Package eBPF objects as bpfman's bytecode image; several platforms make an index."""
    from conductor.oci.pack import bytecode_image  # noqa: PLC0415

    paths = dict(_platform_and_file(word) for word in files)
    if len(paths) < len(files):
        raise InvalidSpec("files", "each platform may be there once")
    programs, maps = _declared(next(iter(paths.values())))
    packed = bytecode_image(
        {platform: _read(path) for platform, path in paths.items()},
        programs=programs,
        maps=maps,
        annotations=_words(annotations),
    )
    _keep(reference, packed, ImageKind.BYTECODE, form)


def _keep(reference: str, packed: Any, kind: ImageKind, form: Any) -> None:
    from conductor.oci.layout import ImageLayout  # noqa: PLC0415

    ref = Reference.parse(reference, "REF")
    if ref.digest:
        raise InvalidSpec("REF", "names a digest; give a tag, the digest follows from what is packaged")
    where = ImageLayout(built_images()).put(ref, packed)
    document = {"reference": str(ref), "digest": packed.digest, "kind": kind.value, "layout": str(where)}
    if form == "json":
        write(document, form)
    else:
        click.echo(f"{ref}@{packed.digest}")
        note(f"kept in {where}; push it: conductor image push {ref}")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as exc:
        raise ObjectUnreadable(f"{path}: {exc.strerror}") from exc
    if len(content) > _LARGEST:
        raise ImageUnusable(f"{path} is larger than {_LARGEST >> 20} MiB, the most that an image here may hold")
    return content


def _sections(read: Any, module: bytes) -> list[Any]:
    """Sections of a module; what is none is refused by the packer, in its words."""
    try:
        return list(read(module))
    except ObjectUnreadable:
        return []


def _words(pairs: Sequence[str]) -> dict[str, str]:
    split = [pair.partition("=") for pair in pairs]
    if wrong := next((key for key, equals, _ in split if not equals or not key), None):
        raise InvalidSpec("--annotation", f"{wrong!r} is not KEY=VALUE")
    return {key: value for key, _, value in split}


def _platform_and_file(word: str) -> tuple[Platform | None, Path]:
    told, equals, path = word.partition("=")
    if not equals:
        return None, Path(word)
    parts = told.split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise InvalidSpec("files", f"{told!r} is no platform, such as linux/arm64")
    return Platform(*parts), Path(path)


def _declared(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Programs and maps of an object, in bpfman's words. Raises `ObjectUnreadable`, `LibraryMissing`."""
    from conductor.bpf.objects import BpfObject  # noqa: PLC0415 - needs libbpf, which wasm images do not

    with BpfObject.open(path) as opened:
        programs = {one.name: _type_word(one.section) for one in opened.programs}
        maps = {one.name: one.type.value.replace("percpu", "per_cpu") for one in opened.maps if not one.internal}
    return programs, maps


def _type_word(section: str) -> str:
    first = section.replace(".", "/").partition("/")[0]
    return _TYPES.get(first, first)
