"""What is left of us: nothing after uninstall; and what doctor says of this machine."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.node import bpftool, links_of, pins_of, programs_of

if TYPE_CHECKING:
    from tests.e2e.node import Node

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(120)]
KERNEL = """\
apiVersion: ebpfconductor.io/v1alpha1
kind: KernelProgram
metadata: {name: hooks}
spec:
  bytecode: {path: %s}
  programs:
  - {name: on_tcx, type: TCX, tcx: {links: [{direction: Ingress, interfaceSelector: {interfaces: [%s]}}]}}
  - {name: on_tc, type: TC, tc: {links: [{direction: Ingress, interfaceSelector: {interfaces: [%s]}}]}}
  - {name: on_xdp, type: XDP, xdp: {links: [{interfaceSelector: {interfaces: [%s]}}]}}
"""


@pytest.fixture
def interface() -> Iterator[str]:
    """A pair of interfaces of this test alone; answers one's name."""
    name = f"ct{secrets.token_hex(4)}"
    subprocess.run(["ip", "link", "add", name, "type", "veth", "peer", f"{name}p"], check=True)
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    yield name
    subprocess.run(["ip", "link", "del", name], check=True)


def told(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def processes_of(node: Node) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if any(str(node.root) in word for word in words):
            found.append(" ".join(words))
    return found


def test_uninstall_leaves_nothing_of_ours(node: Node, interface: str, compiled: Callable[[str], Path]) -> None:
    node.start("--kernel", "embedded")
    node.cli("load", "builtin", "service_map")
    node.cli("load", "builtin", "host_pressure")
    node.cli("apply", "-f", "-", stdin=KERNEL % (compiled("hooks"), interface, interface, interface))
    node.wait_for(lambda: node.json("kernel", "get", "hooks")["state"] == "Running", "running")
    programs = {program["id"] for program in programs_of(node)}
    links = {link["id"] for link in links_of(node)}
    assert len(programs) == 7
    assert links
    assert "xdp" in told("ip", "-d", "link", "show", interface)

    flags = [word for flag, place in node.paths().items() if flag != "--bpfman-socket" for word in (flag, place)]
    command = ["uninstall", "--yes", *flags]
    done = node.run(*command)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "Removed."), done.stderr

    assert [path.name for path in node.root.iterdir()] == ["log"]
    assert (processes_of(node), pins_of(node)) == ([], [])
    assert str(node.root) not in Path("/proc/mounts").read_text()
    assert not programs & {program["id"] for program in bpftool("prog")}
    assert not links & {link["id"] for link in bpftool("link")}
    assert told("tc", "filter", "show", "dev", interface, "ingress") == ""
    assert "xdp" not in told("ip", "-d", "link", "show", interface)
    assert node.run(*command).stdout == "Nothing of ours is here.\n"


def test_doctor_says_that_an_agent_can_start_here_and_that_it_runs(clean: Node) -> None:
    done = clean.run("doctor", *clean.flags(), "-o", "json")
    assert done.returncode == 0, done.stderr
    before = clean.run("doctor", "-o", "table", *clean.flags())
    lines = {" ".join(line.split()[:3]) for line in before.stdout.splitlines()}
    assert "road agent yes" in lines
    assert "road loader yes" in lines
    assert "kernel BTF yes" in lines


def test_doctor_leaves_with_0_where_nothing_runs_yet(node: Node) -> None:
    done = node.run("doctor", *node.flags())
    assert done.returncode == 0, done.stdout
    assert "nobody serves" in done.stdout or "is not there" in done.stdout
