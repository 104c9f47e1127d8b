"""Who of the agents may write what, at a real API server, with tokens bound to nodes."""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from tests.charts.verbs import CLUSTER, EVENTS, VERBS, Verb
from tests.cluster.charted import LEASE, apply_rules
from tests.cluster.testbed import Testbed
from tests.model.bad_manifests import document, user

pytestmark = pytest.mark.cluster
NAMESPACE = "policies"
OURS = "/apis/ebpfconductor.io/v1alpha1"
STATES, PROGRAMS = f"{OURS}/nodestates", f"{OURS}/userprograms"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
REVISIONS = f"/apis/apps/v1/namespaces/{NAMESPACE}/controllerrevisions"
FORBIDDEN, DONE = 403, range(200, 300)


@dataclass(frozen=True)
class Answer:
    """What the API server said."""

    code: int
    body: dict[str, Any]

    @property
    def is_done(self) -> bool:
        return self.code in DONE

    def refused_for(self, words: str) -> bool:
        return self.code == FORBIDDEN and words in self.body["message"]


@dataclass(frozen=True)
class Caller:
    """Somebody with a token."""

    bed: Testbed
    token: str

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        headers = {"Content-Type": kind, "Authorization": f"Bearer {self.token}"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.bed.server + path, data=data, method=method, headers=headers)
        trust = ssl.create_default_context(cafile=str(self.bed.authority))
        try:
            with urllib.request.urlopen(request, context=trust, timeout=30) as answer:
                return Answer(answer.status, json.load(answer))
        except urllib.error.HTTPError as exc:
            with exc:
                return Answer(exc.code, json.load(exc))


@pytest.fixture(scope="module")
def ruled(kinds: Testbed) -> Testbed:
    """Our kinds, and the chart's rights and policies for the agents of one namespace."""
    apply_rules(kinds, namespace=NAMESPACE)
    return kinds


@pytest.fixture(scope="module")
def agents(ruled: Testbed) -> tuple[Caller, Caller]:
    """The agents of two nodes."""
    first, second = (Caller(ruled, ruled.token(node, namespace=NAMESPACE)) for node in ("n1", "n2"))
    return first, second


@pytest.fixture
def world(ruled: Testbed) -> Iterator[Testbed]:
    """No Lease yet, a NodeState for each node, a program."""
    for node in ("n1", "n2"):
        ruled.call("POST", STATES, document("NodeState", {}) | {"metadata": {"name": node}})
    ruled.call("POST", PROGRAMS, user())
    yield ruled
    for path in (f"{LEASES}/{LEASE}", f"{STATES}/n1", f"{STATES}/n2", f"{PROGRAMS}/x", f"{REVISIONS}/r"):
        with suppress(urllib.error.HTTPError):
            ruled.call("DELETE", path)


def lease(holder: str, name: str = LEASE) -> dict[str, Any]:
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 15} if holder else {"leaseDurationSeconds": 1}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec}


def turned(bed: Testbed, holder: str) -> dict[str, Any]:
    """The Lease as it is replaced by one of another holder."""
    return bed.call("GET", f"{LEASES}/{LEASE}") | {"spec": lease(holder)["spec"]}


def eventually(asked: Callable[[], Answer], wanted: Callable[[Answer], bool]) -> Answer:
    """Ask until the API server has seen the Lease as it is now, which it does in moments."""
    until = time.monotonic() + 10
    while not wanted(answer := asked()) and time.monotonic() < until:
        time.sleep(0.05)
    return answer


def status(bed: Testbed, node: str) -> dict[str, Any]:
    """A NodeState with a status, as it is replaced."""
    return bed.call("GET", f"{STATES}/{node}") | {"status": {"observedGeneration": 1}}


WRITES: dict[str, Callable[[Caller], Answer]] = {
    "what a node is to run": lambda who: who.ask("PATCH", f"{STATES}/n2", {"spec": {"programs": []}}),
    "a new NodeState": lambda who: who.ask(
        "POST", f"{STATES}?dryRun=All", document("NodeState", {}) | {"metadata": {"name": "n3"}}
    ),
    "a NodeState that goes": lambda who: who.ask("DELETE", f"{STATES}/n2?dryRun=All"),
    "a program's status": lambda who: who.ask("PATCH", f"{PROGRAMS}/x/status", {"status": {"phase": "Idle"}}),
    "a program's finalizers": lambda who: who.ask(
        "PATCH", f"{PROGRAMS}/x?dryRun=All", {"metadata": {"finalizers": ["ebpfconductor.io/programs"]}}
    ),
    "a revision": lambda who: who.ask(
        "POST",
        f"{REVISIONS}?dryRun=All",
        {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": "r"}, "revision": 1, "data": {}},
    ),
}


# --- whose status ---------------------------------------------------------------------------------------------------


def test_an_agent_writes_the_status_of_its_own_node(world: Testbed, agents: tuple[Caller, Caller]) -> None:
    assert agents[0].ask("PUT", f"{STATES}/n1/status", status(world, "n1")).is_done


def test_an_agent_writes_no_other_nodes_status(world: Testbed, agents: tuple[Caller, Caller]) -> None:
    answer = agents[0].ask("PUT", f"{STATES}/n2/status", status(world, "n2"))
    assert answer.refused_for("its token is bound to node n1, not to n2")


def test_not_even_the_leader(world: Testbed, agents: tuple[Caller, Caller]) -> None:
    world.call("POST", LEASES, lease("n1/u"))
    eventually(lambda: WRITES["a program's status"](agents[0]), lambda answer: answer.is_done)
    assert agents[0].ask("PUT", f"{STATES}/n2/status", status(world, "n2")).refused_for("not to n2")


def test_a_token_of_no_node_writes_nothing(world: Testbed) -> None:
    request = {"spec": {"expirationSeconds": 600}}
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/agent/token"
    unbound = Caller(world, world.call("POST", path, request)["status"]["token"])
    assert unbound.ask("PUT", f"{STATES}/n1/status", status(world, "n1")).refused_for("bound to no node")
    assert unbound.ask("POST", LEASES, lease("n1/u")).refused_for("bound to no node")
    world.call("POST", LEASES, lease("n1/u"))
    write = WRITES["a program's status"]
    assert eventually(lambda: write(unbound), lambda answer: not answer.is_done).refused_for("bound to no node")


# --- who leads ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_the_holder_of_the_lease_writes(agents: tuple[Caller, Caller], write: Callable[[Caller], Answer]) -> None:
    assert agents[0].ask("POST", LEASES, lease("n1/u")).is_done
    answer = eventually(lambda: write(agents[0]), lambda answer: answer.is_done)
    assert answer.is_done, answer.body


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_nobody_else_does(agents: tuple[Caller, Caller], write: Callable[[Caller], Answer]) -> None:
    assert agents[0].ask("POST", LEASES, lease("n1/u")).is_done
    answer = eventually(lambda: write(agents[1]), lambda answer: answer.refused_for("names n1/u"))
    assert answer.refused_for("the Lease ebpfconductor names n1/u, and this token is bound to node n2")


def test_while_nobody_holds_the_lease_nobody_does(world: Testbed, agents: tuple[Caller, Caller]) -> None:
    world.call("POST", LEASES, lease(""))
    refused = eventually(lambda: WRITES["a program's status"](agents[0]), lambda answer: not answer.is_done)
    assert refused.refused_for("the Lease ebpfconductor names nobody")


def test_an_administrator_needs_no_lease(world: Testbed) -> None:
    assert world.call("PUT", f"{STATES}/n1", world.call("GET", f"{STATES}/n1"))["metadata"]["name"] == "n1"


def test_a_leader_that_lost_the_lease_is_refused(world: Testbed, agents: tuple[Caller, Caller]) -> None:
    world.call("POST", LEASES, lease("n1/u"))
    write = WRITES["what a node is to run"]
    assert eventually(lambda: write(agents[0]), lambda answer: answer.is_done).is_done
    world.call("PUT", f"{LEASES}/{LEASE}", turned(world, "n2/v"))
    assert eventually(lambda: write(agents[1]), lambda answer: answer.is_done).is_done
    assert write(agents[0]).refused_for("names n2/v")


def test_a_node_whose_name_begins_like_the_holders_is_not_the_holder(ruled: Testbed, world: Testbed) -> None:
    world.call("POST", LEASES, lease("n11/u"))
    first = Caller(ruled, ruled.token("n1", namespace=NAMESPACE))
    write = WRITES["a program's status"]
    assert eventually(lambda: write(first), lambda answer: answer.refused_for("n11/u")).refused_for("n11/u")


def test_even_a_leader_changes_nothing_of_a_program_but_finalizers(
    world: Testbed, agents: tuple[Caller, Caller]
) -> None:
    world.call("POST", LEASES, lease("n1/u"))
    eventually(lambda: WRITES["a program's finalizers"](agents[0]), lambda answer: answer.is_done)
    for change in (
        {"spec": {"source": {"builtin": "other"}}},
        {"metadata": {"labels": {"a": "b"}}},
        {"metadata": {"annotations": {"a": "b"}}},
    ):
        answer = agents[0].ask("PATCH", f"{PROGRAMS}/x", change)
        assert answer.refused_for("nothing of a program but its finalizers and its status")


# --- whose lease ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("world")
def test_a_lease_is_taken_in_ones_own_name_alone(agents: tuple[Caller, Caller]) -> None:
    for holder in ("n2/u", "n1", "n11/u", "", "/n1/"):
        assert agents[0].ask("POST", LEASES, lease(holder)).refused_for("in its own name alone")
    assert agents[0].ask("POST", LEASES, lease("n1/u")).is_done


def test_a_lease_is_given_back_by_its_holder_alone(world: Testbed, agents: tuple[Caller, Caller]) -> None:
    path = f"{LEASES}/{LEASE}"
    assert agents[0].ask("POST", LEASES, lease("n1/u")).is_done
    assert agents[1].ask("PUT", path, turned(world, "")).refused_for("not to that of n1/u")
    assert agents[0].ask("PUT", path, turned(world, "")).is_done
    assert agents[0].ask("PUT", path, turned(world, "")).refused_for("not to that of nobody")
    assert agents[1].ask("PUT", path, turned(world, "n2/v")).is_done


@pytest.mark.usefixtures("world")
def test_agents_have_one_lease(agents: tuple[Caller, Caller]) -> None:
    assert agents[0].ask("POST", LEASES, lease("n1/u", name="other")).refused_for("agents have one Lease")
    assert agents[0].ask("DELETE", f"{LEASES}/{LEASE}").code == FORBIDDEN


# --- everybody else -------------------------------------------------------------------------------------------------


def test_an_administrator_is_unaffected(world: Testbed) -> None:
    world.call("POST", LEASES, lease("n2/v"))
    assert world.call("PUT", f"{STATES}/n1/status", status(world, "n1"))["status"]["observedGeneration"] == 1
    changed = world.call("GET", f"{PROGRAMS}/x")
    changed["spec"]["source"] = {"builtin": "host_pressure"}
    assert world.call("PUT", f"{PROGRAMS}/x", changed)["metadata"]["generation"] == 2


def test_agents_of_another_namespace_are_bound_to_their_own_lease(
    world: Testbed,
) -> None:
    """They have no rights here at all; the policies of this namespace say nothing of them."""
    other = Caller(world, world.token("n1", namespace="elsewhere"))
    assert other.ask("PUT", f"{STATES}/n1/status", status(world, "n1")).refused_for("cannot update resource")


# --- rights ---------------------------------------------------------------------------------------------------------


def may(who: Caller, verb: str, resource: str, namespace: str, name: str = "") -> bool:
    """Ask the API server whether a caller may."""
    group, _, rest = resource.partition("/")
    plural, _, sub = rest.partition("/")
    asked = {"group": group, "resource": plural, "subresource": sub, "verb": verb, "namespace": namespace, "name": name}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    answer = who.ask("POST", path, review | {"spec": {"resourceAttributes": asked}})
    return bool(answer.body["status"]["allowed"])


@pytest.mark.parametrize("row", VERBS, ids=lambda row: f"{row.verb}-{row.resource}")
def test_every_verb_that_is_used_is_allowed(agents: tuple[Caller, Caller], row: Verb) -> None:
    namespace = {CLUSTER: "", EVENTS: "default"}.get(row.where, NAMESPACE)
    assert may(agents[0], row.verb, row.resource, namespace, LEASE if row.resource.endswith("/leases") else "")


@pytest.mark.parametrize(
    ("verb", "resource", "namespace"),
    [
        ("get", "/secrets", NAMESPACE),
        ("list", "/secrets", NAMESPACE),
        ("create", "/pods", NAMESPACE),
        ("get", "/nodes", ""),
        ("patch", "/nodes", ""),
        ("delete", "ebpfconductor.io/kernelprograms", ""),
        ("create", "ebpfconductor.io/userprograms", ""),
        ("delete", "coordination.k8s.io/leases", NAMESPACE),
        ("update", "coordination.k8s.io/leases", "kube-system"),
        ("list", "apps/controllerrevisions", "kube-system"),
        ("update", "apps/controllerrevisions", NAMESPACE),
        ("create", "events.k8s.io/events", NAMESPACE),
        ("list", "/configmaps", NAMESPACE),
    ],
)
def test_what_is_not_needed_is_not_allowed(
    agents: tuple[Caller, Caller], verb: str, resource: str, namespace: str
) -> None:
    assert not may(agents[0], verb, resource, namespace)
