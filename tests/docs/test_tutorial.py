"""docs/tutorial.md: a program is made, tried, changed, shipped and rolled out by the very commands, and prints what is shown."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from conductor.cli.wasm_new import make
from conductor.cli.wasm_project import Language
from conductor.cli.wasm_tools import missing
from tests.cluster.charted import apply_kinds, apply_rules
from tests.cluster.member import Member, joined
from tests.cluster.testbed import Testbed
from tests.docs.playing import play
from tests.docs.reading import DOCS, blocks
from tests.docs.shell import environment
from tests.e2e.node import Node
from tests.fakes.registry_thread import served_registry

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(300)]
TEXT = (DOCS / "tutorial.md").read_text()
REGISTRY, NAMESPACE = "registry.example:5000", "ebpfconductor"


@pytest.fixture
def variables(node: Node, testbed: Testbed, tmp_path: Path) -> dict[str, str]:
    """A shell beside a node, with kubectl, in an empty folder."""
    if lacks := missing(Language.C, kernel_half=True):
        pytest.skip(f"needs the Debian packages {', '.join(lacks.values())}")
    (tmp_path / "bin").mkdir()
    kubectl = tmp_path / "bin/kubectl"
    kubectl.write_text(f'#!/bin/sh\nexec {testbed.binaries / "kubectl"} --kubeconfig {testbed.admin} "$@"\n')
    kubectl.chmod(0o755)
    return environment(node, tmp_path / "bin") | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path)}


def test_code_that_is_shown_is_the_code_that_is_made(tmp_path: Path) -> None:
    shown = blocks(TEXT, "c")
    folder = tmp_path / "calls"
    make(folder, Language.C, "syscall_counter")
    code = "".join(path.read_text() for path in folder.glob("*.c"))
    assert len(shown) == 3
    assert [block for block in shown if block not in code] == []


def test_the_document_holds(node: Node, testbed: Testbed, tmp_path: Path, variables: dict[str, str]) -> None:
    apply_kinds(testbed)
    apply_rules(testbed, namespace=NAMESPACE)
    testbed.kubectl("delete", "nodes,nodestates", "--all")
    work = tmp_path / "work"
    work.mkdir()
    with served_registry() as registry, joined(testbed, "node-1", namespace=NAMESPACE) as member:
        text = TEXT.replace(REGISTRY, registry.address).replace("/home/you", str(work))
        (manifest,) = blocks(text, "yaml")
        (work / manifest.split()[1]).write_text(manifest)
        member.start("--lease-duration", "3s")

        def run(line: str) -> str:
            return said(line, node, member, work, variables)

        try:
            play(text, run)
        finally:
            testbed.kubectl("delete", "kp,up", "--all", "--timeout=20s", check=False)
        assert member.node.is_empty()


def counts(node: Node) -> bool:
    return any(name == "calls_calls_total" for name, _ in node.series("?program=calls"))


def said(line: str, node: Node, member: Member, work: Path, variables: dict[str, str]) -> str:
    """Run a line as a reader would; answers what it printed."""
    if line.startswith("sudo conductor up"):
        node.start("--kernel", "embedded")
        return ""
    here = line.replace("node-1:8080", f"127.0.0.1:{member.node.port}").replace(
        "127.0.0.1:8080", f"127.0.0.1:{node.port}"
    )
    done = subprocess.run(
        here, shell=True, env=variables, cwd=work, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}\n{node.log[-2000:]}\n{member.node.log[-2000:]}"
    if " apply -f calls/" in line:
        node.wait_for(lambda: node.running("calls"), "running")
        node.wait_for(lambda: counts(node), "told")
    if line.startswith("kubectl get kp,up"):
        member.node.wait_for(lambda: counts(member.node), "told")
    return done.stdout
