"""A change that the kernel's verifier refuses comes back by itself, with the reason in the status."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster.charted import apply_rules
from tests.cluster.member import Member, joined
from tests.cluster.testbed import Testbed
from tests.e2e.node import links_of

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]


@pytest.fixture
def member(kinds: Testbed) -> Iterator[Member]:
    """A node that takes files of its own disk from the cluster."""
    apply_rules(kinds, namespace="back")
    kinds.kubectl("delete", "nodes", "--all")
    with joined(kinds, "back-1", namespace="back") as member:
        member.start("--allow-cluster-paths")
        yield member


def manifest(path: Path, function: str) -> str:
    link = {"links": [{"name": "raw_syscalls/sys_enter"}]}
    program = {"name": function, "type": "TracePoint", "tracepoint": link}
    spec = {"bytecode": {"path": str(path)}, "programs": [program], "updateStrategy": {"soak": "1s"}}
    head = {"apiVersion": "ebpfconductor.io/v1alpha1", "kind": "KernelProgram", "metadata": {"name": "tool"}}
    return json.dumps({**head, "spec": spec})


def test_the_last_good_version_stays_attached(member: Member, compiled: Callable[[str], Path]) -> None:
    good, bad = (member.node.root / f"{name}.o" for name in ("good", "bad"))
    shutil.copy(compiled("counters"), good)
    shutil.copy(compiled("rejected"), bad)
    good.chmod(0o644)
    bad.chmod(0o644)
    bed = member.bed
    bed.kubectl("apply", "-f", "-", stdin=manifest(good, "on_enter"))
    member.until(tool="Running")
    bed.kubectl("wait", "--for=jsonpath={.status.phase}=Idle", "kp/tool", "--timeout=40s")
    bed.kubectl("apply", "-f", "-", stdin=manifest(bad, "bad"))
    bed.kubectl("wait", "--for=jsonpath={.status.phase}=RolledBack", "kp/tool", "--timeout=40s")
    member.until(tool="Running")
    assert links_of(member.node)
    told = bed.kubectl("describe", "kp", "tool")
    assert "VerifierRejected" in told
    assert "RolledBack" in told
    bed.kubectl("delete", "kp", "tool", "--timeout=60s")
    assert member.node.is_empty()
