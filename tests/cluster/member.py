"""A node of the testbed's cluster on the real kernel: a loader beside an agent with its own account's token."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError

from tests.cluster.charted import apply_rules
from tests.cluster.testbed import Document, Testbed
from tests.e2e.node import Node, launched

__all__ = ["Member", "joined", "ruled"]

STATES = "/apis/ebpfconductor.io/v1alpha1/nodestates"
AGENT = 65532


@dataclass
class Member:
    """One node: its processes and directories (`node`), and the cluster that it belongs to."""

    bed: Testbed
    node: Node
    name: str
    namespace: str
    server: str = ""
    kubeconfig: Path = field(init=False)

    def __post_init__(self) -> None:
        """Write what a pod would find, for the agent's user alone."""
        self.kubeconfig = self.node.root / "kubeconfig"
        content = json.loads(self.bed.agent(self.name, namespace=self.namespace, server=self.server).read_text())
        cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
        authority = Path(cluster.pop("certificate-authority")).read_bytes()
        cluster["certificate-authority-data"] = base64.b64encode(authority).decode()
        content["users"][0]["user"] = {"token": Path(user["tokenFile"]).read_text()}
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(json.dumps(content))
        os.chown(self.kubeconfig, AGENT, AGENT)

    def start(self, *options: str) -> None:
        """Start loader and agent, as the DaemonSet's two containers do."""
        self.node.start_loader()
        self.start_agent(*options)

    def start_agent(self, *options: str) -> None:
        """Start the agent, by the command line of the DaemonSet."""
        self.node.start_agent(
            "--kubeconfig", str(self.kubeconfig), "--node-name", self.name, "--namespace", self.namespace, *options
        )

    # --- what the cluster knows -----------------------------------------------------------------------------------

    def told(self) -> dict[str, str]:
        """State and reason by program, as the cluster knows them."""
        rows = self.state().get("status", {}).get("programs") or ()
        return {row["name"]: " ".join(filter(None, (row["state"], row.get("reason", "")))) for row in rows}

    def state(self) -> Document:
        """The NodeState; empty where there is none."""
        try:
            return self.bed.call("GET", f"{STATES}/{self.name}")
        except HTTPError as exc:
            exc.close()
            if exc.code != 404:
                raise
            return {}

    def until(self, **told: str) -> None:
        """Wait until exactly this is told."""
        deadline = time.monotonic() + 40
        while (found := self.told()) != told:
            assert time.monotonic() < deadline, f"{found}\n{self.state()}\n{self.node.log[-5000:]}"
            time.sleep(0.05)


@contextmanager
def joined(bed: Testbed, name: str, *, namespace: str) -> Iterator[Member]:
    """Directories and rights for one node; whatever it left is removed."""
    with launched() as node:
        yield Member(bed, node, name, namespace)


@contextmanager
def ruled(bed: Testbed, name: str, *, namespace: str) -> Iterator[Member]:
    """One node that runs, under the chart's rights."""
    apply_rules(bed, namespace=namespace)
    with joined(bed, name, namespace=namespace) as member:
        member.start("--lease-duration", "3s")
        yield member
