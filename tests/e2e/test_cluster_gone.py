"""An agent that belongs to no cluster any more."""

from __future__ import annotations

import json
import os

import pytest

from tests.e2e.node import Node

pytestmark = [pytest.mark.kernel, pytest.mark.slow]


def test_what_a_cluster_asked_for_goes_where_there_is_none_any_more(node: Node) -> None:
    """Nobody else could withdraw it."""
    manifest = {"apiVersion": "ebpfconductor.io/v1alpha1", "kind": "UserProgram", "metadata": {"name": "left"}}
    wish = {"generation": 1, "manifest": {**manifest, "spec": {"source": {"builtin": "host_pressure"}}}}
    wishes = node.root / "state/agent/wishes"
    wishes.mkdir(parents=True)
    (wishes / "cluster.json").write_text(json.dumps({"version": 1, "wishes": [wish]}))
    for path in (wishes.parent.parent, wishes.parent, wishes, wishes / "cluster.json"):
        os.chown(path, 65532, 65532)
    node.start_agent("--kernel", "none")
    assert node.ask(lambda agent: agent.list()) == ()
    assert json.loads((wishes / "cluster.json").read_text())["wishes"] == []
    assert "no cluster is configured any more" in node.log


def test_a_kubeconfig_that_cannot_be_used_is_one_sentence(node: Node) -> None:
    secret = node.root / "kubeconfig"
    secret.touch(mode=0o600)
    done = node.run("agent", "--own-view", "--kernel", "none", "--kubeconfig", str(secret), *node.flags())
    assert done.returncode == 1
    assert "install -o 65532 -m 0400" in done.stderr
    assert "Traceback" not in done.stderr
