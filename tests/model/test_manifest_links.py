"""Links in manifests: bpfman's vocabulary, one section per type."""

from __future__ import annotations

from typing import Any

import pytest

from conductor.errors import InvalidSpec
from conductor.model.kernel import (
    ContainerSelector,
    Direction,
    FentryLink,
    FexitLink,
    InterfaceSelector,
    KernelFunctionSpec,
    KernelProgramSpec,
    KernelType,
    KprobeLink,
    LsmLink,
    TcLink,
    TcxLink,
    UprobeLink,
    XdpLink,
)
from conductor.model.labels import Expression, Selector
from conductor.model.manifest import manifest_of, parse_manifest

ETH0 = {"interfaces": ["eth0"]}
NAMED = InterfaceSelector(names=("eth0",))
LIBC = {"target": "libc", "function": "malloc"}
UID, ID = "01234567-89ab-cdef-0123-456789abcdef", "0123456789abcdef" * 4


def parse(type_: str, section: Any) -> KernelFunctionSpec:
    program = {"name": "f", "type": type_, type_.lower(): section}
    doc = {
        "apiVersion": "ebpfconductor.io/v1alpha1",
        "kind": "KernelProgram",
        "metadata": {"name": "x"},
        "spec": {"bytecode": {"path": "/x.o"}, "programs": [program]},
    }
    parsed = parse_manifest(doc)
    assert isinstance(parsed, KernelProgramSpec)
    assert parse_manifest(manifest_of(parsed)) == parsed
    return parsed.programs[0]


@pytest.mark.parametrize(
    ("type_", "link", "expected"),
    [
        ("XDP", {"interfaceSelector": ETH0}, XdpLink(interfaces=NAMED)),
        (
            "XDP",
            {"interfaceSelector": {"primaryNodeInterface": True}, "priority": 5, "proceedOn": ["Pass", "Drop"]},
            XdpLink(interfaces=InterfaceSelector(primary=True), priority=5, proceed_on=("Pass", "Drop")),
        ),
        (
            "TC",
            {"interfaceSelector": ETH0, "direction": "Ingress", "netns": "/run/netns/a"},
            TcLink(interfaces=NAMED, direction=Direction.INGRESS, netns="/run/netns/a"),
        ),
        (
            "TCX",
            {"interfaceSelector": ETH0, "direction": "egress"},
            TcxLink(interfaces=NAMED, direction=Direction.EGRESS),
        ),
        (
            "TCX",
            {
                "interfaceSelector": {"interfacesDiscoveryConfig": {"allowedInterfaces": ["/veth.*/"]}},
                "direction": "Egress",
            },
            TcxLink(interfaces=InterfaceSelector(discover=True, allow=("/veth.*/",)), direction=Direction.EGRESS),
        ),
        ("KProbe", {"function": "tcp_connect", "offset": 8}, KprobeLink(function="tcp_connect", offset=8)),
        ("KRetProbe", {"function": "tcp_connect"}, KprobeLink(function="tcp_connect")),
        ("UProbe", {"target": "libc", "function": "malloc"}, UprobeLink(target="libc", function="malloc")),
        (
            "URetProbe",
            {"target": "/bin/x", "offset": 64, "pid": 7, "containerPid": 8},
            UprobeLink(target="/bin/x", offset=64, pid=7, container_pid=8),
        ),
        (
            "UProbe",
            {**LIBC, "containers": {"containerIDs": [f"containerd://{ID}", ID], "podUIDs": [UID.upper()]}},
            UprobeLink(
                target="libc",
                function="malloc",
                containers=ContainerSelector(pod_uids=(UID,), container_ids=(ID, ID)),
            ),
        ),
        (
            "TCX",
            {"interfaceSelector": ETH0, "direction": "egress", "networkNamespaces": {"podUIDs": [UID]}},
            TcxLink(interfaces=NAMED, direction=Direction.EGRESS, containers=ContainerSelector(pod_uids=(UID,))),
        ),
        (
            "TCX",
            {"interfaceSelector": ETH0, "direction": "egress", "networkNamespaces": {"pods": {}}},
            TcxLink(interfaces=NAMED, direction=Direction.EGRESS, containers=ContainerSelector(pods=Selector())),
        ),
        (
            "UProbe",
            {
                **LIBC,
                "containers": {
                    "namespace": "shop",
                    "pods": {
                        "matchLabels": {"app": "web", "old": ""},
                        "matchExpressions": [
                            {"key": "tier", "operator": "In", "values": ["a", ""]},
                            {"key": "x", "operator": "Exists"},
                        ],
                    },
                    "containerNames": ["app", "sidecar"],
                    "podUIDs": [UID],
                },
            },
            UprobeLink(
                target="libc",
                function="malloc",
                containers=ContainerSelector(
                    namespace="shop",
                    pods=Selector(
                        match_labels={"app": "web", "old": ""},
                        match_expressions=(Expression("tier", "In", ("a", "")), Expression("x", "Exists")),
                    ),
                    container_names=("app", "sidecar"),
                    pod_uids=(UID,),
                ),
            ),
        ),
    ],
)
def test_links(type_: str, link: Any, expected: object) -> None:
    function = parse(type_, {"links": [link]})
    assert (function.type, function.links) == (KernelType(type_), (expected,))


@pytest.mark.parametrize(
    ("type_", "target", "link"),
    [("FEntry", "function", FentryLink()), ("FExit", "function", FexitLink()), ("LSM", "hook", LsmLink())],
)
def test_what_is_fixed_at_load(type_: str, target: str, link: object) -> None:
    function = parse(type_, {target: "do_unlinkat", "links": [{"mode": "Attach"}]})
    assert (function.attach_to, function.links) == ("do_unlinkat", (link,))


def test_a_pattern_of_interfaces_that_is_no_regular_expression() -> None:
    selector = {"interfacesDiscoveryConfig": {"allowedInterfaces": ["/(/"]}}
    with pytest.raises(InvalidSpec, match="is not a regular expression"):
        parse("XDP", {"links": [{"interfaceSelector": selector}]})
