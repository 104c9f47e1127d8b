"""`conductor withdraw`: take everything of ours back from a cluster; the chart's hooks run it around an uninstall."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from conductor.model.cluster import Key
from conductor.model.schema.kinds import KINDS, definition

__all__ = ["withdraw"]


@click.command(epilog="The chart runs it before an uninstall, and with --finish after it.")
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path),
    envvar="CONDUCTOR_KUBECONFIG",
    show_envvar=True,
    help="The cluster; inside a pod the pod's own.",
)
@click.option("--namespace", metavar="NAME", help="Namespace of the agents; default: the pod's or the context's.")
@click.option("--patience", type=click.FloatRange(min=0), default=120.0, show_default=True, help="Seconds for nodes.")
@click.option("--finish", is_flag=True, help="The agents are gone: remove the Lease.")
@click.option(
    "--policy", metavar="NAME", default="", help="With --finish: the policy that asks for the Lease goes after it."
)
@click.option("--kinds", is_flag=True, help="With --finish: remove our kinds too, and with them every object of them.")
def withdraw(
    kubeconfig: Path | None, namespace: str | None, patience: float, *, finish: bool, policy: str, kinds: bool
) -> None:
    """Have every node unload what the cluster asked for, and remove what the agents wrote to it.

    KernelPrograms and UserPrograms stay as people wrote them. Nodes that do not answer are named: `conductor uninstall`
    there removes what they run.
    """
    if kinds and not finish:
        raise click.UsageError("--kinds goes with --finish: while agents run they need their kinds")
    if policy and not finish:
        raise click.UsageError("--policy goes with --finish: while agents run it holds them back")
    asyncio.run(_withdraw(kubeconfig, namespace, patience, finish=finish, policy=policy, kinds=kinds))


async def _withdraw(
    kubeconfig: Path | None, namespace: str | None, patience: float, *, finish: bool, policy: str, kinds: bool
) -> None:
    from conductor.agent_leader import LEASE  # noqa: PLC0415 - `--help` needs no client
    from conductor.kube.cluster import Cluster  # noqa: PLC0415 - as above
    from conductor.kube.withdrawal import Withdrawal  # noqa: PLC0415 - as above

    async with Cluster.connected(kubeconfig=kubeconfig) as cluster:
        lease = Key(namespace or cluster.namespace, LEASE)
        withdrawal = Withdrawal(cluster=cluster, lease=lease, tell=click.echo)
        if finish:
            names = tuple(definition(kind)["metadata"]["name"] for kind in KINDS.values()) if kinds else ()
            await withdrawal.finish(policy=policy, kinds=names)
            return
        for node in await withdrawal.run(patience=patience):
            click.echo(f"node {node} did not say that it is empty: run `conductor uninstall` there", err=True)
