"""Programs that go into pods by their labels: a real API server, real cgroups and network namespaces, a real kernel."""

from __future__ import annotations

import json
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.member import Member, ruled
from tests.cluster.pods import Kubelet, RealPod
from tests.cluster.testbed import Testbed
from tests.managers.test_kernel_containers import reusing

pytestmark = [pytest.mark.cluster, pytest.mark.kernel, pytest.mark.slow]
NAMESPACE, NODE = "podded", "podded-1"
SECOND = 1.0


@pytest.fixture(scope="module")
def member(kinds: Testbed) -> Iterator[Member]:
    with ruled(kinds, NODE, namespace=NAMESPACE) as member:
        yield member


@pytest.fixture
def kubelet(member: Member) -> Iterator[Kubelet]:
    with Kubelet.running(member.bed, NODE) as kubelet:
        yield kubelet


@pytest.fixture
def shop() -> str:
    """A namespace of pods."""
    return f"shop-{uuid.uuid4().hex[:6]}"


Apply = Callable[..., None]
EXAMPLE = Path(__file__).parents[2] / "examples/pod-interfaces.yaml"


@pytest.fixture
def apply(member: Member, compiled: Callable[[str], Path]) -> Iterator[Apply]:
    """Apply the example, with an object of ours, the interface that our pods have, and another selector."""

    def manifest(**selector: Any) -> str:
        document = yaml.safe_load(EXAMPLE.read_text())
        document["metadata"]["name"] = "pods"
        document["spec"]["bytecode"] = {"path": str(compiled("real"))}
        (program,) = document["spec"]["programs"]
        program["name"] = "tcx_plain"
        (link,) = program["tcx"]["links"]
        link["interfaceSelector"]["interfaces"] = ["v0"]
        link["networkNamespaces"] = selector or link["networkNamespaces"]
        return json.dumps(document)

    def applied(**selector: Any) -> None:
        member.node.cli("apply", "-f", "-", stdin=manifest(**selector))
        member.node.wait_for(lambda: condition(member)[0] in {"Running", "Waiting"}, "loaded")

    yield applied
    member.node.cli("delete", "-f", "-", stdin=manifest(pods={}))
    member.node.wait_for(member.node.is_empty, "empty")


def attached(member: Member) -> dict[int, str]:
    """Link ids by process, as the agent tells them."""
    (function,) = member.node.ask(lambda agent: agent.get_kernel("pods")).functions
    return {int(link.attach.split("/proc/")[1].split("/")[0]): str(link.id) for link in function.links}


def within(seconds: float, member: Member, *pods: RealPod) -> float:
    """Wait until exactly these pods are attached to; answer how long that took."""
    began, expected = time.monotonic(), {one.space.process.pid for one in pods}
    while (seen := set(attached(member))) != expected:
        assert time.monotonic() - began < 20, f"{seen} is not {expected}\n{member.node.log[-3000:]}"
        time.sleep(0.02)
    took = time.monotonic() - began
    assert took < seconds, f"it took {took:.2f} s"
    return took


def condition(member: Member) -> tuple[str, str, str]:
    shown = member.node.ask(lambda agent: agent.get_kernel("pods"))
    return shown.condition.state.word, shown.condition.reason, shown.condition.message


def test_links_come_and_go_with_pods_within_a_second(member: Member, kubelet: Kubelet, apply: Apply, shop: str) -> None:
    apply(namespace=shop, pods={"matchLabels": {"app": "web"}})
    assert condition(member)[:2] == ("Running", "NothingSelected")
    assert f"no pod of namespace {shop} with labels app=web runs here" in condition(member)[2]
    first = kubelet.ran(shop, "web-0", app="web")
    within(SECOND, member, first)
    assert condition(member)[:2] == ("Running", "")
    kubelet.ran(shop, "db-0", app="db")
    late = kubelet.scheduled(shop, "web-1", app="web")
    time.sleep(1.5)
    within(SECOND, member, first)
    second = kubelet.start(late)
    within(SECOND, member, first, second)
    first.space.end()
    within(SECOND, member, second)
    kubelet.label(second, app="other")
    within(SECOND, member)
    kubelet.label(second, app="web")
    within(SECOND, member, second)
    kubelet.label(second, app=None)
    within(SECOND, member)


def test_the_example_is_attached(member: Member, kubelet: Kubelet, apply: Apply) -> None:
    apply()
    web = kubelet.ran("shop", "web-0", app="web")
    within(SECOND, member, web)
    (function,) = member.node.ask(lambda agent: agent.get_kernel("pods")).functions
    (link,) = function.links
    assert link.attach == f"v0 ingress in /proc/{web.space.process.pid}/ns/net of pod shop/web-0"


def test_same_names_in_two_namespaces_are_two_pods(member: Member, kubelet: Kubelet, apply: Apply, shop: str) -> None:
    meant, other = kubelet.ran(shop, "web-0", app="web"), kubelet.ran(f"{shop}-other", "web-0", app="web")
    apply(namespace=shop, pods={})
    within(SECOND, member, meant)
    apply(pods={"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]})
    within(3, member, meant, other)


def test_a_pod_made_again_with_its_name_is_another(member: Member, kubelet: Kubelet, apply: Apply, shop: str) -> None:
    """Its predecessor's processes may outlive its object."""
    apply(namespace=shop, pods={"matchLabels": {"app": "web"}})
    old = kubelet.ran(shop, "web-0", app="web")
    within(SECOND, member, old)
    kubelet.gone(shop, "web-0")
    new = kubelet.ran(shop, "web-0", app="web")
    within(SECOND, member, new)
    assert old.space.process.poll() is None


def strange(web: RealPod) -> subprocess.Popen[bytes]:
    """End a pod's process and have a stranger of its number."""
    for _ in range(20):
        pid = web.space.process.pid
        web.space.end()
        time.sleep(0.02)  # starts are told by the hundredth of a second
        if (stranger := reusing(pid)) is not None:
            return stranger
        web.space.process = subprocess.Popen(["sleep", "600"])
        web.cgroup.take(web.container, web.space.process.pid)
    raise AssertionError("no number was to be had again")


def test_a_pid_that_is_used_again_is_another_process(member: Member, kubelet: Kubelet, apply: Apply, shop: str) -> None:
    """A stranger has the number that was attached to; then it is in the pod, with the host's network."""
    apply(namespace=shop, pods={"matchLabels": {"app": "web"}})
    web = kubelet.ran(shop, "web-0", app="web")
    within(SECOND, member, web)
    with strange(web) as stranger:
        within(SECOND, member)
        web.cgroup.take(web.container, stranger.pid)
        member.node.wait_for(lambda: condition(member)[1] == "HostNetwork", "left out", SECOND)
        assert attached(member) == {}
        stranger.kill()


@pytest.mark.parametrize("told", [True, False], ids=["told", "not told"])
def test_a_pod_of_the_hosts_network_is_left_alone(
    member: Member, kubelet: Kubelet, apply: Apply, shop: str, told: bool
) -> None:
    """By what the cluster says, and by what the kernel shows."""
    proxy = kubelet.start(kubelet.scheduled(shop, "proxy", app="web", host_network=told))
    with subprocess.Popen(["sleep", "600"]) as of_host:
        if not told:
            proxy.space.end()
            proxy.cgroup.take(proxy.container, of_host.pid)
        apply(namespace=shop, pods={})
        member.node.wait_for(lambda: condition(member)[1] == "HostNetwork", "left out", SECOND)
        assert attached(member) == {}
        assert f"pod {shop}/proxy uses the host's network and is left out" in condition(member)[2]
        of_host.kill()


def test_what_was_known_goes_on_without_the_api_server(
    member: Member, kubelet: Kubelet, apply: Apply, shop: str
) -> None:
    """Also with the next agent, which was never told of any pod."""
    apply(namespace=shop, pods={"matchLabels": {"app": "web"}})
    first, second = kubelet.ran(shop, "web-0", app="web"), kubelet.ran(shop, "web-1", app="web")
    within(SECOND, member, first, second)
    before = attached(member)
    with member.bed.stopped():
        time.sleep(0.5)
        assert condition(member)[:2] == ("Running", "")
        member.node.kill("agent")
        member.node.apart["agent"].wait(10)
        member.start_agent("--lease-duration", "3s")
        member.node.wait_for(lambda: condition(member)[1] == "PodsUnknown", "unknown")
        assert attached(member) == before
        first.space.end()
        within(SECOND, member, second)
    member.node.wait_for(lambda: condition(member)[1] == "", "known again", 60)
    assert attached(member).items() <= before.items()
