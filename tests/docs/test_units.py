"""The commands of the two systemd units start a node with no more capabilities than they grant, systemd or not.

tests/systemd has a real systemd run them.
"""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from grpclib.client import Channel

from conductor.cli.units import NAMES
from conductor.oci.pack import bytecode_image
from conductor.proto.bpfman import v1 as pb
from tests.docs.reading import DOCS, ROOT, blocks
from tests.e2e.node import Node
from tests.fakes.registry_thread import served_registry
from tests.managers.cgroup_containers import pod
from tests.real_bpfman.space import spaced

pytestmark = [pytest.mark.kernel, pytest.mark.slow]
LOADER, AGENT = ((ROOT / "conductor/systemd" / name).read_text() for name in NAMES)
MANIFEST = blocks((DOCS / "operators.md").read_text(), "yaml")[0]
OBJECT = """\
apiVersion: ebpfconductor.io/v1alpha1
kind: KernelProgram
metadata: {name: own}
spec:
  bytecode: {path: PATH}
  programs: [{name: on_enter, type: TracePoint, tracepoint: {links: [{name: raw_syscalls/sys_enter}]}}]
"""
INSIDE = """\
apiVersion: ebpfconductor.io/v1alpha1
kind: KernelProgram
metadata: {name: inside}
spec:
  bytecode: {path: PATH}
  programs:
  - name: tcx_plain
    type: TCX
    tcx:
      links:
      - interfaceSelector: {interfaces: [v0]}
        direction: Ingress
        networkNamespaces: {podUIDs: [WHICH]}
"""


def value(unit: str, key: str) -> str:
    (found,) = re.findall(rf"^{key}=(.*)$", unit, re.MULTILINE)
    return str(found)


def bounded_by(unit: str, *more: str) -> list[str]:
    """A command before the unit's own that leaves it no more capabilities than the unit does, and those named."""
    names = [name.removeprefix("CAP_").lower() for name in (*value(unit, "CapabilityBoundingSet").split(), *more)]
    kept = ",".join(["-all", *(f"+{name}" for name in names)])
    assert value(unit, "NoNewPrivileges") == "yes"
    return ["setpriv", f"--bounding-set={kept}", f"--inh-caps={kept}", "--no-new-privs"]


def test_the_loader_of_the_unit_pulls_images_for_its_own_clients(node: Node, compiled: Callable[[str], Path]) -> None:
    _, *loader = shlex.split(value(LOADER, "ExecStart"))
    with served_registry() as registry:
        packed = bytecode_image({None: compiled("counters").read_bytes()}, programs={"on_enter": "tracepoint"}, maps={})
        for blob in packed.blobs:
            registry.put_blob(blob)
        registry.put_manifest("tools/counters", "v1", packed.manifests[0].body, packed.manifests[0].media_type)
        node.start_loader(*loader[1:], before=bounded_by(LOADER))
        asyncio.run(pull(node.root / "run/loader.sock", f"{registry.address}/tools/counters:v1"))
        assert [one.path for one in registry.seen if "/blobs/" in one.path]


async def pull(loader: Path, url: str) -> None:
    channel = Channel(path=str(loader))
    try:
        image = pb.BytecodeImage(url=url, image_pull_policy=0)
        await pb.BpfmanStub(channel).pull_bytecode(pb.PullBytecodeRequest(image=image), timeout=30)
    finally:
        channel.close()


def test_loader_and_agent_of_the_units_run_what_is_wished(node: Node, compiled: Callable[[str], Path]) -> None:
    _, *loader = shlex.split(value(LOADER, "ExecStart"))
    _, *agent = shlex.split(value(AGENT, "ExecStart"))
    programs = node.root / "programs.yaml"
    programs.write_text(MANIFEST)
    assert "/etc/ebpfconductor/programs.yaml" in agent
    agent = [str(programs) if word == "/etc/ebpfconductor/programs.yaml" else word for word in agent]
    node.start_loader(*loader[1:], before=bounded_by(LOADER))
    node.start_agent(*agent[1:])
    node.wait_for(lambda: node.running("flows"), "running")
    assert node.json("get", "flows")["source"] == "file"
    assert {part["config"]["external"] for part in node.json("list")["items"]} == {"ip"}
    node.wait_for(lambda: node.json("top", "--once")["items"][0]["kernelRuns"], "counted runs")
    node.cli("apply", "-f", "-", stdin=OBJECT.replace("PATH", str(compiled("counters"))))
    node.wait_for(lambda: node.json("kernel", "get", "own")["state"] == "Running", "loaded from the agent's folder")


@pytest.mark.parametrize(("more", "state"), [((), "Failed"), (("CAP_SYS_PTRACE",), "Running")])
def test_links_into_containers_take_the_capability_that_is_named_for_them(
    node: Node, compiled: Callable[[str], Path], more: tuple[str, ...], state: str
) -> None:
    assert "CAP_SYS_PTRACE" not in value(LOADER, "CapabilityBoundingSet")
    node.start_loader("--no-stats", before=bounded_by(LOADER, *more))
    node.start_agent()
    with pod() as made, spaced() as space:
        made.take(made.container(), space.process.pid)
        node.cli("apply", "-f", "-", stdin=INSIDE.replace("PATH", str(compiled("real"))).replace("WHICH", made.uid))
        node.wait_for(lambda: node.json("kernel", "get", "inside")["state"] == state, state)
