"""`conductor image list|prune`: what this node holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from conductor.cli.output import Column, Format, note, output_option, show
from conductor.cli.session import with_agent
from conductor.cli.shapes import timestamp
from conductor.model.image import ImageStatus

if TYPE_CHECKING:
    from conductor.client import Agent

__all__ = ["list_", "prune"]


def _document(image: ImageStatus) -> dict[str, Any]:
    return {
        "name": image.reference,
        "reference": image.reference,
        "digest": image.digest,
        "kind": image.kind.value,
        "content": image.content,
        "size": image.size,
        "pulled": timestamp(image.pulled),
        "used": timestamp(image.used),
        "inUse": image.in_use,
        "verdict": image.verdict,
    }


def _size(document: Any) -> str:
    size = float(document["size"])
    for unit in ("B", "KiB", "MiB"):
        if size < 1024 or unit == "MiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


TABLE = (
    Column("IMAGE", lambda d: str(d["reference"])),
    Column("KIND", lambda d: str(d["kind"])),
    Column("DIGEST", lambda d: str(d["digest"])[7:19]),
    Column("SIZE", _size),
    Column("IN USE", lambda d: "yes" if d["inUse"] else "no"),
    Column("TRUSTED BY", lambda d: str(d["verdict"])),
    Column("LAST USED", lambda d: str(d["used"]), wide=True),
)


@click.command("list")
@output_option
@with_agent()
async def list_(agent: Agent, *, form: Format) -> None:
    """List the images that this node holds."""
    images = [_document(image) for image in await agent.images()]
    show(images, TABLE, form, empty="no image is here; conductor pull REF brings one")


@click.command()
@output_option
@with_agent()
async def prune(agent: Agent, *, form: Format) -> None:
    """Remove the images that no program names."""
    gone = await agent.prune_images()
    show([_document(image) for image in gone], TABLE, form, empty="nothing to remove: every image is in use")
    if gone:
        note(f"{len(gone)} removed, {_size({'size': sum(image.size for image in gone)})} free")
