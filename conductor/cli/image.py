"""`conductor image`: build, push, look at, verify and sign images; what the node holds of them."""

from __future__ import annotations

import click

from conductor.cli.image_build import build
from conductor.cli.image_look import inspect, sign, verify
from conductor.cli.image_push import push
from conductor.cli.image_store import list_, prune

__all__ = ["image"]


@click.group(epilog="docs/images.md is the guide; `conductor pull REF` fetches one onto this node.")
def image() -> None:
    """Build, push, sign and look at images of wasm modules and eBPF bytecode."""


for _command in (build, push, inspect, verify, sign, list_, prune):
    image.add_command(_command)
