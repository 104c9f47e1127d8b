"""Kill the agent, a real bpfman or both at random moments: what was asked for runs again, nothing is doubled."""

from __future__ import annotations

import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from conductor.bpfman.flavour import Flavour
from tests.real_bpfman.bed import Bed, made, started
from tests.real_bpfman.node import RealNode, beside
from tests.real_bpfman.test_faults import ROUNDS, chance

__all__ = ["chance"]
pytestmark = [
    pytest.mark.kernel,
    pytest.mark.slow,
    pytest.mark.bpfman,
    pytest.mark.faults,
    pytest.mark.timeout(60 + 60 * ROUNDS),
]
GROUP = 64321
REAL = [pytest.param(Flavour.RUST, id="rust"), pytest.param(Flavour.GO, id="go")]
MANIFEST = """apiVersion: ebpfconductor.io/v1alpha1
kind: KernelProgram
metadata: {{name: {name}}}
spec:
  bytecode: {{path: {path}}}
  programs:
    - {{name: {enter}, type: TracePoint, tracepoint: {{links: [{{name: syscalls/sys_enter_getpgid}}]}}}}
    - {{name: {exit}, type: TracePoint, tracepoint: {{links: [{{name: syscalls/sys_exit_getpgid}}]}}}}
"""


@pytest.fixture
def bed(flavour: Flavour) -> Iterator[Bed]:
    with started(flavour, socket_group=GROUP) as daemon:
        yield made(daemon)


@pytest.fixture
def node(bed: Bed) -> Iterator[RealNode]:
    with beside(bed.daemon) as node:
        node.begin("--groups", str(GROUP))
        yield node


def change(node: RealNode, bed: Bed, chance: random.Random, wished: set[str]) -> None:
    """Apply a version of one of three programs, or delete it; asked again until it is answered."""
    name = f"p{chance.randrange(3)}"
    path = chance.choice([bed.object, bed.newer])
    manifest = MANIFEST.format(name=name, path=path, enter=bed.name("enter"), exit=bed.name("exit"))
    verb = "delete" if name in wished and chance.random() < 0.4 else "apply"
    (wished.discard if verb == "delete" else wished.add)(name)
    for _ in range(60):
        done = node.cli(verb, "-f", "-", ok=False, stdin=manifest)
        if done.returncode == 0 or (verb == "delete" and "is there" in done.stderr):
            return
        time.sleep(0.2)
    raise AssertionError(f"{verb}: {done.stderr}\n{node.log[-4000:]}")


def settled(node: RealNode, bed: Bed, wished: set[str]) -> bool:
    """Exactly what was asked for runs; of the daemon's orphans none has a link."""
    items = node.kernel()
    told = {item["name"]: f"{item['state']} {item['reason']} {item['message']}".strip() for item in items}
    functions = node.functions()
    ids, held = {function["id"] for function in functions}, set(bed.eyes.programs())
    links, standing = sorted(function["id"] for function in functions for _ in function["links"]), bed.eyes.links()
    seen = f"{told}, loaded {sorted(ids)}, in the kernel {sorted(held)}, links {links}, in the kernel {standing}"
    assert {name: words.split()[0] for name, words in told.items()} == dict.fromkeys(wished, "Running"), seen
    assert ids <= held, seen
    assert links == standing == sorted(ids), seen
    return True


@pytest.mark.parametrize("flavour", REAL)
@pytest.mark.parametrize("who", ["agent", "daemon", "both"])
def test_killed_at_random_moments(node: RealNode, bed: Bed, chance: random.Random, who: str) -> None:
    wished: set[str] = set()
    for _ in range(ROUNDS):
        assert bed.daemon.process is not None
        victims = {"agent": [node.pid("agent")], "daemon": [bed.daemon.process.pid]}
        victims["both"] = victims["agent"] + victims["daemon"]
        command = f"sleep {chance.uniform(0, 1.2):.3f}; kill -9 {' '.join(map(str, victims[who]))}"
        with subprocess.Popen(["sh", "-c", command]) as killer:
            if who == "agent":
                change(node, bed, chance, wished)
                killer.wait(10)
            else:
                asking = threading.Thread(target=change, args=(node, bed, chance, wished))
                asking.start()
                killer.wait(10)
                bed.daemon.restart(signal.SIGKILL)
                asking.join(60)
        node.wait_for(lambda: settled(node, bed, wished), f"settled to {sorted(wished)}", 60)
