"""`conductor image push`: send what was built to its registry."""

from __future__ import annotations

from typing import Any

import click

from conductor.cli.image_build import built_images
from conductor.cli.image_registry import Door, bars, with_registry
from conductor.cli.output import write
from conductor.model.image import Reference

__all__ = ["push"]


@click.command(epilog="\b\nExample:\n  conductor image push registry.example/tools/counter:v1")
@click.argument("reference", metavar="REF")
@click.option("--to", metavar="REF", help="Another name for it at the registry.")
@click.option("-o", "--output", "form", type=click.Choice(["table", "json"]), default="table", help="Form of output.")
@with_registry
async def push(door: Door, *, reference: str, to: str | None, form: Any) -> None:
    """Push an image that `conductor image build` made; what the registry has already is not sent again."""
    from conductor.oci.layout import ImageLayout  # noqa: PLC0415 - for a quick --help

    ref = Reference.parse(reference, "REF")
    target = Reference.parse(to, "--to") if to else ref
    image = ImageLayout(built_images()).find(ref)
    with bars() as shown:
        for blob, path in image.blobs:

            def moved(done: int, total: int, what: str = blob.digest[7:19]) -> None:
                shown.tell(what, done, total)

            await door.client.push_blob(target, path, credentials=door.credentials, progress=moved)
        for one, body in image.manifests[:-1]:
            await door.client.push_manifest(target.at(one.digest), body, one.media_type, credentials=door.credentials)
        top, body = image.manifests[-1]
        digest = await door.client.push_manifest(target, body, top.media_type, credentials=door.credentials)
    if form == "json":
        write({"reference": str(target), "digest": digest}, form)
    else:
        click.echo(f"{target}@{digest}")
