"""`conductor crds print|apply`: the kinds that a cluster must know; the chart's hook applies them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import yaml

from conductor.model.schema.kinds import KINDS, definition

__all__ = ["crds"]


@click.group()
def crds() -> None:
    """Print the CustomResourceDefinitions of this version, or apply them to a cluster."""


@crds.command("print")
def print_() -> None:
    """Print them as YAML."""
    definitions = [definition(kind) for kind in KINDS.values()]
    click.echo(yaml.safe_dump_all(definitions, sort_keys=False, allow_unicode=True, width=120), nl=False)


@crds.command("apply")
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path),
    envvar="CONDUCTOR_KUBECONFIG",
    show_envvar=True,
    help="Cluster to apply them to; inside a pod the pod's own.",
)
def apply_(kubeconfig: Path | None) -> None:
    """Make a cluster serve them and wait until it does; objects of these kinds stay.

    The chart does this before each install and upgrade, for Helm itself never upgrades them.
    """
    asyncio.run(_apply(kubeconfig))


async def _apply(kubeconfig: Path | None) -> None:
    from conductor.kube.cluster import Cluster  # noqa: PLC0415 - `print` needs no client
    from conductor.kube.definitions import apply  # noqa: PLC0415 - as above

    async with Cluster.connected(kubeconfig=kubeconfig) as cluster:
        for wished in map(definition, KINDS.values()):
            click.echo(f"customresourcedefinition/{wished['metadata']['name']} {await apply(cluster, wished)}")
