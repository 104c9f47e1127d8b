"""Probes in the files of containers that are chosen by their pods' labels and their own names."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from conductor.bpf.maps import open_map
from conductor.model.grants import Access
from tests.cluster.member import Member, ruled
from tests.cluster.pods import Kubelet
from tests.cluster.testbed import Testbed
from tests.real_bpfman.bed import SLOTS
from tests.real_bpfman.space import Space, spaced
from tests.real_bpfman.test_containers import CALLER

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]
NAMESPACE, NODE = "probed", "probed-1"
EXAMPLE = Path(__file__).parents[2] / "examples/pod-uprobe.yaml"


@pytest.fixture(scope="module")
def member(kinds: Testbed) -> Iterator[Member]:
    with ruled(kinds, NODE, namespace=NAMESPACE) as member:
        yield member


@pytest.fixture
def kubelet(member: Member) -> Iterator[Kubelet]:
    with Kubelet.running(member.bed, NODE) as kubelet:
        yield kubelet


@contextmanager
def calling(folder: Path) -> Iterator[tuple[Space, str]]:
    """A process that calls `touched` of a file that only its mount namespace has."""
    source, library, hidden = folder / "target.c", folder / "target.so", folder / "hidden"
    source.write_text('void touched(void) { __asm__ volatile(""); }\n')
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    hidden.mkdir()
    mount = f"mount -t tmpfs tmpfs {hidden} && cp {library} {hidden}/target.so"
    words = ("unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh", sys.executable, "-c", CALLER)
    with spaced(*words, str(hidden / "target.so")) as space:
        space.wait_for_word()
        yield space, str(hidden / "target.so")


def manifest(path: Path, target: str, namespace: str, *names: str) -> str:
    """The example, with an object and a target of ours, and another namespace and other names."""
    document = yaml.safe_load(EXAMPLE.read_text())
    document["metadata"]["name"] = "probes"
    document["spec"]["bytecode"] = {"path": str(path)}
    (program,) = document["spec"]["programs"]
    program["name"] = "uprobe_plain"
    (link,) = program["uprobe"]["links"]
    link |= {"target": target, "function": "touched"}
    link["containers"] |= {"namespace": namespace, "containerNames": list(names)}
    if not names:
        del link["containers"]["containerNames"]
    return json.dumps(document)


def standing(member: Member) -> tuple[int, str]:
    """Links, and the reason that is told."""
    shown = member.node.ask(lambda agent: agent.get_kernel("probes"))
    return sum(len(function.links) for function in shown.functions), shown.condition.reason


def counted(member: Member) -> int:
    (function,) = member.node.ask(lambda agent: agent.get_kernel("probes")).functions
    with open_map(member.node.root / "run/bpf/maps" / str(function.id) / "counts", Access.READ) as counts:
        value = counts.lookup(SLOTS["uprobe"].to_bytes(4, "little"))
    return 0 if value is None else int.from_bytes(value, "little")


@pytest.fixture
def apply(member: Member, compiled: Callable[[str], Path]) -> Iterator[Callable[..., None]]:
    """Apply a manifest of probes, and delete it afterwards."""
    texts: list[str] = []

    def applied(*words: str) -> None:
        texts.append(manifest(compiled("real"), *words))
        member.node.cli("apply", "-f", "-", stdin=texts[-1])
        member.node.wait_for(lambda: standing(member) == (0, "NothingSelected"), "loaded")

    yield applied
    for text in texts:
        member.node.cli("delete", "-f", "-", stdin=text)
    member.node.wait_for(member.node.is_empty, "empty")


@pytest.mark.parametrize("names", [(), ("app",)], ids=["all", "by name"])
def test_probes_go_into_the_containers_of_pods_and_into_no_sandbox(
    member: Member, kubelet: Kubelet, apply: Callable[..., None], tmp_path: Path, names: tuple[str, ...]
) -> None:
    """The sandbox has no such file: a probe for it would fail."""
    namespace = f"probes{'-'.join(('', *names))}"
    real = kubelet.ran(namespace, "web-0", app="web")
    with calling(tmp_path) as (space, target):
        apply(target, namespace, *names)
        real.cgroup.take(real.container, space.process.pid)
        if names:
            kubelet.told(real)
        member.node.wait_for(lambda: standing(member) == (1, ""), "attached", 1)
        space.say("\n\n\n")
        member.node.wait_for(lambda: counted(member) == 3, "counted")


def test_a_name_that_no_container_has_is_said(
    member: Member, kubelet: Kubelet, apply: Callable[..., None], tmp_path: Path
) -> None:
    real = kubelet.ran("probes-none", "web-0", app="web")
    with calling(tmp_path) as (space, target):
        real.cgroup.take(real.container, space.process.pid)
        kubelet.told(real)
        apply(target, "probes-none", "sidecar")
        told = member.node.ask(lambda agent: agent.get_kernel("probes")).condition.message
    assert (
        "no container called sidecar of a pod of namespace probes-none with labels app in (web,api) runs here" in told
    )
