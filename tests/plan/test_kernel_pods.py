"""Containers by the labels of their pods: which are chosen, which are left out, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from conductor.model.facts import Claim, ContainerProcess, NodePods, Pod, Workload
from conductor.model.ids import LinkId, ProgramId
from conductor.model.kernel import (
    ContainerSelector,
    Direction,
    InterfaceSelector,
    KernelFunctionStatus,
    KernelType,
    Link,
    LinkStatus,
    TcxLink,
    UprobeLink,
)
from conductor.model.labels import Expression, Selector
from conductor.model.program import Source
from conductor.model.status import Condition, KernelStatus, State
from conductor.plan.kernel_links import MOST_LINKS, outcome_of, resolve
from conductor.plan.kernel_pods import Scene, named, watched
from conductor.plan.kernel_sets import LinkWant
from tests.plan.test_kernel_containers import spec

ETH0 = TcxLink(interfaces=InterfaceSelector(names=("eth0",)), direction=Direction.INGRESS)
PROBE = UprobeLink(target="/bin/x", function="f")
WEB = Selector(match_labels={"app": "web"})
NOBODY = Claim(addresses=(), workload=Workload(kind="Pod", name="x"))


def pod(namespace: str, name: str, uid: str, app: str = "web", **more: Any) -> Pod:
    return Pod(namespace=namespace, name=name, uids=(uid,), claim=NOBODY, labels={"app": app}, **more)


def process(container: str, uid: str, pid: int, started: int = 0, **more: Any) -> ContainerProcess:
    return ContainerProcess(container=container, pod_uid=uid, pid=pid, started=started or pid, **more)


SHOP = pod("shop", "web-0", "u1", containers={"app1": "app", "side1": "sidecar"})
BANK = pod("bank", "web-0", "u2", containers={"app2": "app"})
PAUSE1, APP1, SIDE1 = process("p1", "u1", 10), process("app1", "u1", 11), process("side1", "u1", 12)
PAUSE2, APP2 = process("p2", "u2", 20), process("app2", "u2", 21)
BOTH = Scene(processes=(PAUSE1, APP1, SIDE1, PAUSE2, APP2), pods=NodePods(pods=(SHOP, BANK)))


def pids(link: TcxLink | UprobeLink, scene: Scene = BOTH, **selector: Any) -> list[int]:
    found, _ = resolve(spec(link, **selector), (), scene)
    return [want.process.pid for want in found if want.process]


def told(link: TcxLink | UprobeLink, scene: Scene = BOTH, **selector: Any) -> tuple[State, str, str] | None:
    return outcome_of(resolve(spec(link, **selector), (), scene)[1])


def test_pods_of_the_same_name_are_told_by_their_namespace() -> None:
    assert pids(PROBE, pods=WEB, namespace="shop") == [11, 12]
    assert pids(PROBE, pods=WEB, namespace="bank") == [21]
    assert pids(PROBE, pods=WEB) == [11, 12, 21]


def test_an_empty_selector_takes_all_pods_of_its_namespace() -> None:
    assert pids(ETH0, pods=Selector(), namespace="bank") == [20]
    assert pids(ETH0, pods=Selector()) == [10, 20]


def test_demands_are_judged_as_kubernetes_does() -> None:
    not_web = Selector(match_expressions=(Expression("app", "NotIn", ("web",)),))
    assert pids(ETH0, pods=not_web) == []
    other = replace(BOTH, pods=NodePods(pods=(SHOP, pod("bank", "db", "u2", app="db"))))
    assert pids(ETH0, other, pods=not_web) == [20]


def test_containers_are_chosen_by_their_names() -> None:
    assert pids(PROBE, pods=WEB, container_names=("app",)) == [11, 21]
    assert pids(PROBE, pods=WEB, container_names=("sidecar", "none")) == [12]


def test_a_sandbox_is_no_container_and_a_new_one_need_not_wait_for_its_name() -> None:
    fresh = replace(BOTH, pods=NodePods(pods=(pod("shop", "web-0", "u1"),)))
    assert pids(PROBE, fresh, pods=WEB) == [11, 12]
    assert pids(PROBE, fresh, pods=WEB, container_names=("app",)) == []
    assert pids(PROBE, fresh, pod_uids=("u1",)) == [11, 12]
    assert pids(PROBE, replace(fresh, processes=(PAUSE1,)), pods=WEB) == []


def test_what_any_of_the_forms_matches_is_chosen_once() -> None:
    assert pids(PROBE, pods=WEB, namespace="shop", container_ids=("app2", "app1")) == [11, 12, 21]
    assert pids(ETH0, pods=WEB, namespace="shop", pod_uids=("u2",)) == [10, 20]


def test_what_is_watched_is_told_by_uids_and_ids_alone() -> None:
    selector = ContainerSelector(pods=WEB, namespace="shop", pod_uids=("u9",), container_ids=("c9",))
    assert watched(selector, BOTH) == ContainerSelector(pod_uids=("u9", "u1"), container_ids=("c9",))


@pytest.mark.parametrize("by", ["cluster", "kernel"])
def test_pods_of_the_hosts_network_are_left_out_of_networks(by: str) -> None:
    """By what either says: the other may be late, or wrong."""
    proxy = pod("sys", "proxy", "u3", host_network=by == "cluster", containers={"app3": "proxy"})
    app = process("app3", "u3", 31, host_network=by == "kernel")
    scene = Scene(processes=(*BOTH.processes, app), pods=NodePods(pods=(SHOP, BANK, proxy)))
    assert pids(ETH0, scene, pods=Selector()) == [10, 20]
    words = "pod sys/proxy uses the host's network and is left out; to attach to the host's interfaces leave networkNamespaces out"
    assert told(ETH0, scene, pods=Selector()) == (State.RUNNING, "HostNetwork", words)
    assert pids(PROBE, scene, pods=Selector()) == [11, 12, 21, 31], "their files are their own"


def test_a_pod_of_the_hosts_network_is_refused_by_its_uid_too() -> None:
    scene = Scene(processes=(process("app3", "u3", 31, host_network=True),))
    assert pids(ETH0, scene, pod_uids=("u3",)) == []
    state, reason, message = told(ETH0, scene, pod_uids=("u3",)) or (None, "", "")
    assert (state, reason) == (State.WAITING, "ContainerMissing")
    assert message.startswith("pod u3 uses the host's network and is left out")


@pytest.mark.parametrize(
    ("selector", "words"),
    [
        ({"pods": Selector(match_labels={"app": "db"}), "namespace": "shop"}, "no pod of namespace shop with labels app=db runs here"),
        ({"pods": Selector(), "namespace": "none"}, "no pod of namespace none runs here"),
        ({"pods": Selector(match_expressions=(Expression("x", "Exists"),))}, "no pod with labels x runs here"),
        ({"pods": WEB, "container_names": ("db",)}, "no container called db of a pod with labels app=web runs here"),
    ],
)  # fmt: skip
def test_nothing_is_said_in_a_sentence_and_is_no_fault(selector: dict[str, Any], words: str) -> None:
    assert told(PROBE, **selector) == (
        State.RUNNING,
        "NothingSelected",
        f"{words}; it is attached as soon as one appears",
    )


def test_long_selectors_are_cut_in_sentences() -> None:
    labels = {f"label-{i}": "x" * 60 for i in range(16)}
    _, _, message = told(PROBE, pods=Selector(match_labels=labels)) or (None, "", "")
    assert len(message) < 250


@pytest.mark.parametrize("reason", ["NoCluster", "PodsUnknown"])
def test_where_nobody_tells_of_pods_what_stands_goes_on(reason: str) -> None:
    unknown = Scene(processes=BOTH.processes, pods=NodePods(reason=reason, problem="nobody tells"))
    assert pids(PROBE, unknown, pods=WEB) == []
    assert told(PROBE, unknown, pods=WEB) == (State.WAITING, reason, "nobody tells")
    held = resolve(spec(PROBE, pods=WEB, container_names=("app",)), (), BOTH)[0]
    again = replace(unknown, held=held)
    assert pids(PROBE, again, pods=WEB, container_names=("app",)) == [11, 21]
    assert pids(replace(PROBE, function="g"), again, pods=WEB) == []
    selector = ContainerSelector(pods=WEB)
    assert set(watched(selector, again).container_ids) == {"app1", "app2"}


def test_links_of_networks_stand_while_nobody_tells_of_pods() -> None:
    held = resolve(spec(ETH0, pods=WEB, namespace="shop"), (), BOTH)[0]
    unknown = Scene(processes=BOTH.processes, pods=NodePods(reason="PodsUnknown", problem="."), held=held)
    assert resolve(spec(ETH0, pods=WEB, namespace="shop"), (), unknown)[0] == held


def crowd(count: int) -> Scene:
    """So many pods, each with a sandbox and an app that are younger than those before."""
    pods = tuple(pod("shop", f"p{i}", f"u{i}", containers={f"a{i}": "app"}) for i in range(count))
    processes = [process(f"a{i}", f"u{i}", 1000 + i) for i in range(count)]
    return Scene(processes=tuple(reversed(processes)), pods=NodePods(pods=pods))


def test_links_of_a_program_have_a_bound_and_the_latest_are_left_out() -> None:
    full = pids(PROBE, crowd(MOST_LINKS), pods=WEB)
    assert len(full) == MOST_LINKS
    assert told(PROBE, crowd(MOST_LINKS), pods=WEB) is None
    over = crowd(MOST_LINKS + 5)
    assert set(pids(PROBE, over, pods=WEB)) == set(full)
    state, reason, message = told(PROBE, over, pods=WEB) or (None, "", "")
    assert (state, reason) == (State.RUNNING, "TooManyLinks")
    assert "more than 512 links" in message


def test_sentences_are_few_however_many_are_missing() -> None:
    _, _, message = told(PROBE, pod_uids=tuple(f"{i}" * 36 for i in range(9))) or (None, "", "")
    assert message.count("no container of pod") == 4
    assert "and 5 more" in message


def test_a_want_names_the_process_that_it_is_for() -> None:
    (want,) = resolve(spec(PROBE, pods=WEB, namespace="bank"), (), BOTH)[0]
    link: Link = replace(PROBE, container_pid=21)
    assert want == LinkWant(function="f", type=want.type, link=link, process=APP2)


def test_links_are_named_by_pod_and_container() -> None:
    links = [LinkStatus(id=LinkId(i), attach=PROBE, process=one) for i, one in enumerate((APP1, PAUSE2, None))]
    function = KernelFunctionStatus(name="f", type=KernelType.UPROBE, id=ProgramId(1), links=tuple(links))
    condition = Condition(state=State.RUNNING)
    status = KernelStatus(spec=spec(PROBE), source=Source.GRPC, condition=condition, functions=(function,))
    (shown,) = named(status, BOTH.pods).functions
    assert [link.pod for link in shown.links] == ["shop/web-0 (app)", "bank/web-0", ""]
