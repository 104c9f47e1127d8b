"""What each variant of values makes: who has which right, what is mounted how, which commands are run."""

from __future__ import annotations

import os
import re
from typing import Any

import click
import pytest

from conductor.cli.menu import conductor
from conductor.cli.settings import read
from conductor.config import OPTIONS
from tests.chart.rendered import Document, container, kinds, named, rendered
from tests.chart.variants import VARIANTS

pytestmark = pytest.mark.cluster
EACH = pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
RULES = [
    *["ClusterRole", "ClusterRoleBinding"],
    *["Role", "Role", "RoleBinding", "RoleBinding"],
    *["ServiceAccount", *["ValidatingAdmissionPolicy"] * 3, *["ValidatingAdmissionPolicyBinding"] * 3],
]
KINDS_HOOK = ["ClusterRole", "ClusterRoleBinding", "Job", "ServiceAccount"]
WITHDRAWAL = ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "ServiceAccount", "Job"]


def pod(documents: list[Document]) -> Document:
    return dict(named(documents, "DaemonSet")["spec"]["template"]["spec"])


def mounts(documents: list[Document], name: str) -> dict[str, Document]:
    return {one["name"]: one for one in container(documents, name)["volumeMounts"]}


def test_by_default_one_daemonset_with_its_rules() -> None:
    assert kinds(rendered()) == sorted(
        [*RULES, *KINDS_HOOK, *WITHDRAWAL, *WITHDRAWAL, "ConfigMap", "DaemonSet", "Pod", "Service"]
    )


@EACH
def test_one_container_is_privileged_for_our_loader_and_one_more_for_bpfman(values: dict[str, Any]) -> None:
    documents = rendered(values)
    privileged = [one["name"] for one in pod(documents)["containers"] if one["securityContext"].get("privileged")]
    wanted = {"loader": ["loader"], "bpfman": ["assistant", "bpfman"], "host-bpfman": ["assistant"]}
    assert privileged == wanted[values.get("road", "loader")]


@EACH
def test_the_agent_has_no_right(values: dict[str, Any]) -> None:
    documents = rendered(values)
    context = container(documents, "agent")["securityContext"]
    user = values.get("agent", {}).get("user", 65532)
    assert (context["runAsUser"], context["runAsGroup"], context["runAsNonRoot"]) == (user, user, True)
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False


def test_the_agent_has_a_profile_that_the_pod_installs_itself() -> None:
    documents = rendered()
    profile = container(documents, "agent")["securityContext"]["seccompProfile"]
    assert profile == {"type": "Localhost", "localhostProfile": "ebpfconductor/ours-ebpfconductor.json"}
    assert "mv /kubelet/seccomp/ebpfconductor/ours-ebpfconductor.json.new" in container(documents, "prepare")["args"][0]
    assert "bpf" not in re.findall(r'"(\w+)"', named(documents, "ConfigMap")["data"]["seccomp.json"])


def test_nothing_is_installed_where_no_profile_is_wanted() -> None:
    documents = rendered({"seccomp": "Unconfined"})
    assert "seccomp" not in mounts(documents, "prepare")
    assert container(documents, "agent")["securityContext"]["seccompProfile"] == {"type": "Unconfined"}


def test_pins_reach_the_host_and_the_agent_and_outlive_the_pod() -> None:
    documents = rendered()
    assert mounts(documents, "loader")["run"]["mountPropagation"] == "Bidirectional"
    assert mounts(documents, "agent")["run"]["mountPropagation"] == "HostToContainer"
    volumes = {one["name"]: one for one in pod(documents)["volumes"]}
    assert all("hostPath" in volumes[name] for name in ("run", "state", "cache"))
    assert mounts(documents, "agent")["cgroup"]["readOnly"] is True


@EACH
def test_the_cluster_token_is_the_agents_alone(values: dict[str, Any]) -> None:
    documents = rendered(values)
    assert pod(documents)["automountServiceAccountToken"] is False
    everywhere = (*pod(documents)["initContainers"], *pod(documents)["containers"])
    assert [c["name"] for c in everywhere if any(m["name"] == "token" for m in c["volumeMounts"])] == ["agent"]


@EACH
def test_agent_and_privileged_share_no_scratch(values: dict[str, Any]) -> None:
    documents = rendered(values)
    scratch = {one["name"] for one in pod(documents)["volumes"] if "emptyDir" in one}
    users = [m["name"] for c in pod(documents)["containers"] for m in c["volumeMounts"] if m["name"] in scratch]
    assert sorted(users) == sorted(scratch)


@EACH
def test_every_mount_has_its_volume_and_every_volume_a_mount(values: dict[str, Any]) -> None:
    documents = rendered(values)
    everywhere = (*pod(documents)["initContainers"], *pod(documents)["containers"])
    used = {mount["name"] for one in everywhere for mount in one["volumeMounts"]}
    assert used == {volume["name"] for volume in pod(documents)["volumes"]}


@EACH
def test_our_command_line_takes_every_command(values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CONDUCTOR_")]:
        monkeypatch.delenv(name)
    documents = rendered(values)
    commands = [one for one in pod(documents)["containers"] if one["name"] != "bpfman"]
    jobs = [one for one in documents if one["kind"] == "Job"]
    assert sorted(one["metadata"]["name"].rsplit("-", 1)[1] for one in jobs) == ["crds", "finish", "withdraw"]
    commands += [one for job in jobs for one in job["spec"]["template"]["spec"]["containers"]]
    for one in commands:
        words = [word.replace("$(NODE_NAME)", "node-1").replace("$(NAMESPACE)", "ebpf") for word in one["args"]]
        parse(words)


def parse(words: list[str]) -> None:
    command: click.Command = conductor
    ctx = click.Context(conductor)
    while isinstance(command, click.Group):
        found = command.get_command(ctx, words[0])
        assert found is not None, words
        command, words = found, words[1:]
    with command.make_context("conductor", words) as ctx:
        settings = {option.name for option in OPTIONS} & ctx.params.keys()
        read({name: ctx.params[name] for name in settings})


def test_the_api_servers_address_can_be_given() -> None:
    documents = rendered(VARIANTS["everything"])
    wanted = [
        {"name": "KUBERNETES_SERVICE_HOST", "value": "10.0.0.1"},
        {"name": "KUBERNETES_SERVICE_PORT", "value": "6443"},
    ]
    assert container(documents, "agent")["env"][-2:] == wanted
    assert named(documents, "Job", "-crds")["spec"]["template"]["spec"]["containers"][0]["env"] == wanted


def test_pull_secrets_are_granted_by_name_or_not_at_all() -> None:
    assert not [one for one in rendered() if one["metadata"]["name"].endswith("-pull-secrets")]
    (rule,) = named(rendered(VARIANTS["everything"]), "Role", "-pull-secrets")["rules"]
    assert rule == {
        "apiGroups": [""],
        "resources": ["secrets"],
        "resourceNames": ["team-a", "team-b"],
        "verbs": ["get"],
    }


def test_rules_are_for_the_account_that_the_agents_have() -> None:
    documents = rendered(VARIANTS["everything"])
    assert pod(documents)["serviceAccountName"] == "somebody"
    for kind, ending in (("ClusterRoleBinding", "ours-ebpfconductor"), ("RoleBinding", "ours-ebpfconductor")):
        assert named(documents, kind, ending)["subjects"][0]["name"] == "somebody"
    policy = named(documents, "ValidatingAdmissionPolicy", "-leader")["spec"]
    assert "'system:serviceaccount:ebpf:somebody'" in policy["matchConditions"][0]["expression"]


def test_an_image_is_named_by_digest_where_one_is_given() -> None:
    assert container(rendered(), "agent")["image"] == "localhost/ebpfconductor:0.1.0"
    digested = container(rendered(VARIANTS["everything"]), "loader")["image"]
    assert digested == "registry.example/conductor@sha256:" + "0" * 64


def test_without_the_hook_nothing_of_it_is_there() -> None:
    documents = rendered({"crds": {"apply": False}})
    assert not [one for one in documents if one["metadata"]["name"].endswith("-crds")]


def test_kinds_are_removed_after_an_uninstall_only_where_that_is_wished() -> None:
    def finish(documents: list[Document]) -> list[str]:
        return list(named(documents, "Job", "-finish")["spec"]["template"]["spec"]["containers"][0]["args"])

    policy = "--policy=ours-ebpfconductor-leader"
    assert finish(rendered()) == ["withdraw", "--finish", policy]
    removing = rendered({"crds": {"keep": False}})
    assert finish(removing) == ["withdraw", "--finish", policy, "--kinds"]
    groups = [
        [g for rule in named(d, "ClusterRole", "-finish")["rules"] for g in rule["apiGroups"]]
        for d in (rendered(), removing)
    ]
    assert ["apiextensions.k8s.io" in found for found in groups] == [False, True]


def test_the_agents_memory_has_room_for_a_leader() -> None:
    assert container(rendered(), "agent")["resources"]["limits"] == {"memory": "512Mi"}


def test_links_go_to_the_hosts_interfaces_whatever_network_the_agent_has() -> None:
    word = "--link-netns=/proc/1/ns/net"
    assert pod(rendered())["hostNetwork"] is True
    assert word not in container(rendered(), "agent")["args"]
    for road in ({}, VARIANTS["bpfman"], VARIANTS["host-bpfman"]):
        documents = rendered({**road, "hostNetwork": False})
        assert pod(documents)["hostNetwork"] is False
        assert pod(documents)["hostPID"] is True, "else that process is another"
        assert word in container(documents, "agent")["args"]


def test_the_test_runs_where_agents_run() -> None:
    where = {"nodeSelector": {"a": "b"}, "affinity": {"nodeAffinity": {}}, "tolerations": [{"operator": "Exists"}]}
    documents = rendered(where)
    assert {name: named(documents, "Pod")["spec"][name] for name in where} == where
    assert {name: pod(documents)[name] for name in where} == where
