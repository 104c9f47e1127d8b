"""Three processes contend before the real API server; leaders are killed, frozen past their lease, and ended.

What counts is what the server accepted: from its audit log, in the order of resource versions, each change of the
leader's map was made by the holder in the last version of the Lease before it.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest

from tests.cluster.testbed import Document, Testbed
from tests.kube.worlds import ACCOUNT_RULES

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]
SECONDS = 2
ROUNDS = min(int(os.environ.get("CONDUCTOR_FAULT_ROUNDS", "2")), 20)


@dataclass
class Contenders:
    """The processes, by node."""

    testbed: Testbed
    namespace: str
    processes: dict[str, subprocess.Popen[bytes]]

    def start(self, node: str) -> None:
        kubeconfig = str(self.testbed.agent(node, namespace=self.namespace))
        command = [sys.executable, "-m", "tests.kube.contender", kubeconfig, node, str(SECONDS)]
        self.processes[node] = subprocess.Popen(command)

    def record(self) -> Document:
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases/leader"
        try:
            spec: Document = self.testbed.call("GET", path)["spec"]
        except OSError:
            return {}
        return spec

    def holder(self, *, but: str = "", within: float = 5 * SECONDS) -> str:
        """Wait for a holder that also works; answers its node."""
        until = time.monotonic() + within
        while time.monotonic() < until:
            node = (self.record().get("holderIdentity") or "").partition("/")[0]
            if node and node != but and self.work().startswith(f"{node}/"):
                return node
            time.sleep(0.05)
        raise AssertionError(f"nobody but {but or 'nobody'} leads after {within} s: {self.record()}")

    def work(self) -> str:
        found = self.testbed.call("GET", f"/api/v1/namespaces/{self.namespace}/configmaps/work")
        return str((found.get("data") or {}).get("by", ""))


@pytest.fixture
def contenders(testbed: Testbed) -> Iterator[Contenders]:
    namespace = f"failover-{uuid.uuid4().hex[:8]}"
    testbed.have("/api/v1/namespaces", {"metadata": {"name": namespace}})
    testbed.grant(namespace, *ACCOUNT_RULES, namespace=namespace)
    testbed.have(f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": "work"}})
    with _ended(Contenders(testbed, namespace, {})) as contenders:
        for node in ("n1", "n2", "n3"):
            contenders.start(node)
        yield contenders


@contextmanager
def _ended(contenders: Contenders) -> Iterator[Contenders]:
    try:
        yield contenders
    finally:
        for process in contenders.processes.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait(timeout=10)


def accepted(contenders: Contenders) -> list[tuple[int, str, str]]:
    """Accepted changes by revision: what (leases or configmaps) and by whose hand."""
    found = []
    for line in contenders.testbed.audited():
        reference = line.get("objectRef", {})
        if reference.get("namespace") != contenders.namespace or line["responseStatus"]["code"] >= 300:
            continue
        made = line["responseObject"]
        if reference["resource"] == "leases":
            found.append((int(made["metadata"]["resourceVersion"]), "leases", made["spec"].get("holderIdentity", "")))
        elif reference["resource"] == "configmaps" and made.get("data"):
            found.append((int(made["metadata"]["resourceVersion"]), "configmaps", made["data"]["by"]))
    return sorted(found)


def assert_only_holders_wrote(contenders: Contenders) -> int:
    holder, writes, terms = "", 0, 0
    for revision, what, who in accepted(contenders):
        if what == "leases":
            terms += who not in ("", holder)
            holder = who
        else:
            writes += 1
            assert who == holder, f"at {revision} {who} wrote while {holder} held the lease"
    assert writes > terms
    return terms


def test_a_killed_leader_is_followed_within_the_lease_and_a_retry(contenders: Contenders) -> None:
    for _ in range(ROUNDS):
        first = contenders.holder()
        time.sleep(0.3)
        contenders.processes[first].kill()
        contenders.processes[first].wait(timeout=10)
        began = time.monotonic()
        assert contenders.holder(but=first) != first
        assert time.monotonic() - began < 2 * SECONDS
        contenders.start(first)
    assert assert_only_holders_wrote(contenders) >= ROUNDS + 1


def test_a_leader_frozen_past_its_lease_changes_nothing_when_it_wakes(contenders: Contenders) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(ROUNDS):
        first = contenders.holder()
        time.sleep(rng.uniform(0, 0.2))  # anywhere between a read and a send
        contenders.processes[first].send_signal(signal.SIGSTOP)
        second = contenders.holder(but=first)
        contenders.processes[first].send_signal(signal.SIGCONT)
        time.sleep(SECONDS / 2)
        assert contenders.holder() == second
        assert contenders.processes[first].poll() is None
    assert assert_only_holders_wrote(contenders) >= ROUNDS + 1


def test_a_leader_that_is_ended_hands_over_at_once(contenders: Contenders) -> None:
    first = contenders.holder()
    time.sleep(0.3)
    contenders.processes[first].send_signal(signal.SIGTERM)
    assert contenders.processes[first].wait(timeout=5) == 0
    began = time.monotonic()
    contenders.holder(but=first)
    assert time.monotonic() - began < SECONDS
    assert assert_only_holders_wrote(contenders) == 2
