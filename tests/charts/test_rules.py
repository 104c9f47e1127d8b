"""The chart's RBAC grants every verb that is used, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.charts.verbs import CLUSTER, EVENTS, NAMESPACE, VERBS
from tests.cluster.charted import documents_of

PLACES = {"name": "ours", "namespace": "there", "serviceAccount": "agent", "lease": "ours", "pullSecrets": '["a", "b"]'}
WHERE = {"": CLUSTER, "there": NAMESPACE, "default": EVENTS}


def rules(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each rule of a file holds, and the rule."""
    for document in documents_of(name, **PLACES):
        for rule in document.get("rules", ()):
            yield WHERE[document["metadata"].get("namespace", "")], rule


def granted(name: str) -> list[tuple[str, str, str]]:
    return [
        (f"{group}/{resource}", verb, where)
        for where, rule in rules(name)
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


def test_every_verb_that_is_used_is_granted_once_and_no_other() -> None:
    assert sorted(granted("rbac.yaml")) == sorted((verb.resource, verb.verb, verb.where) for verb in VERBS)


def test_nothing_is_granted_by_a_star() -> None:
    assert not [rule for _, rule in rules("rbac.yaml") for words in rule.values() if "*" in words]


def test_the_lease_is_read_and_written_by_its_name_alone() -> None:
    named = {
        tuple(rule["verbs"]): rule.get("resourceNames")
        for _, rule in rules("rbac.yaml")
        if "leases" in rule["resources"]
    }
    assert named == {("create",): None, ("get", "update"): ["ours"]}


def test_secrets_are_read_by_their_names_alone() -> None:
    ((where, rule),) = rules("pull-secrets.yaml")
    assert (where, rule["resourceNames"], rule["verbs"]) == (NAMESPACE, ["a", "b"], ["get"])


def test_rights_are_given_to_the_agents_account_alone() -> None:
    subjects = [
        s
        for name in ("rbac.yaml", "pull-secrets.yaml")
        for d in documents_of(name, **PLACES)
        for s in d.get("subjects", ())
    ]
    assert {tuple(subject.values()) for subject in subjects} == {("ServiceAccount", "agent", "there")}


def test_policies_that_fail_refuse_and_hold_for_the_agents_account() -> None:
    documents = documents_of("policies.yaml", **PLACES)
    policies = [document["spec"] for document in documents if document["kind"] == "ValidatingAdmissionPolicy"]
    bindings = [document["spec"] for document in documents if document["kind"] == "ValidatingAdmissionPolicyBinding"]
    assert [policy["failurePolicy"] for policy in policies] == ["Fail"] * 3
    agents = "request.userInfo.username == 'system:serviceaccount:there:agent'"
    assert {condition["expression"] for policy in policies for condition in policy["matchConditions"]} == {agents}
    assert [binding["validationActions"] for binding in bindings] == [["Deny"]] * 3
