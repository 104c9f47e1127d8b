"""docs/troubleshooting.md: its commands tell what they promise, its reasons and lines are those that can be met."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from conductor.bpf.support import Feature
from tests.cluster.charted import apply_kinds, apply_rules
from tests.cluster.member import joined
from tests.cluster.testbed import Testbed
from tests.docs.playing import play
from tests.docs.reading import DOCS, ROOT, commands, section
from tests.docs.shell import environment
from tests.docs.written import part
from tests.e2e.node import Node

TEXT = (DOCS / "troubleshooting.md").read_text()
NAMESPACE = "ebpfconductor"
FLOWS = {
    "apiVersion": "ebpfconductor.io/v1alpha1",
    "kind": "UserProgram",
    "metadata": {"name": "flows"},
    "spec": {"source": {"builtin": "service_map"}},
}


def sources(folder: str = "conductor") -> str:
    return "".join(path.read_text() for path in (ROOT / folder).rglob("*.py"))


def test_every_reason_beside_those_of_errors_can_be_met() -> None:
    _, _, table = TEXT.partition("What a program may say beside these")
    reasons = re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`", "".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)))
    assert len(reasons) > 12
    code = sources()
    assert [reason for reason in reasons if f'"{reason}"' not in code] == []


def test_reasons_in_the_tables_of_symptoms_are_explained_somewhere() -> None:
    pages = "".join(path.read_text() for path in DOCS.glob("*.md"))
    before = TEXT.partition("## Lines of doctor")[0]
    for reason in set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`", before)) - {"CreateContainerError"}:
        assert pages.count(f"`{reason}`") > 1, reason


def test_every_line_of_doctor_is_there() -> None:
    table = section(TEXT, "Lines of doctor")
    told = set(re.findall(r"`([^`]+)`", "".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE))))
    written = set(re.findall(r'name="([^"]+)"|name = "([^"]+)"', sources("conductor/cli")))
    assert {str(feature) for feature in Feature} <= told
    known = {str(feature) for feature in Feature} | {word for pair in written for word in pair}
    known |= {f"{name} folder" for name in ("state", "cache", "sockets")} | {"bpfman", "loader", "version"}
    assert told - known == set()


def test_every_metric_and_command_in_the_tables_is_there() -> None:
    metrics = (DOCS / "operators.md").read_text()
    for name in re.findall(r"`(conductor_\w+?)(?:_\*|\{\w+\})?`", TEXT):
        assert name in metrics, name


@pytest.mark.kernel
@pytest.mark.slow
def test_every_command_on_a_machine_works_in_its_order(node: Node, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    variables = environment(node, tmp_path / "bin")
    node.start("--kernel", "embedded")
    node.cli("load", "builtin", "service_map", "--name", "flows")
    for line in commands(TEXT):
        here = line.replace("127.0.0.1:8080", f"127.0.0.1:{node.port}")
        done = subprocess.run(
            here, shell=True, env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
        assert done.stdout or "--bundle" in line, line


@pytest.mark.cluster
@pytest.mark.kernel
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_every_command_on_a_cluster_works_in_its_order(testbed: Testbed) -> None:
    apply_kinds(testbed)
    apply_rules(testbed, namespace=NAMESPACE)
    testbed.kubectl("delete", "nodes,nodestates", "--all")

    with joined(testbed, "node-1", namespace=NAMESPACE) as member:
        member.start("--lease-duration", "3s")
        testbed.kubectl("apply", "-f", "-", stdin=json.dumps(FLOWS))
        member.until(flows="Running")
        try:
            play(section(TEXT, "On a cluster"), testbed.typed)
        finally:
            testbed.kubectl("delete", "up/flows", "--timeout=20s")


def test_reasons_are_of_errors_that_are_told_to_somebody() -> None:
    (rows,) = part("reasons").findall(TEXT)
    assert rows.count("\n") > 40
