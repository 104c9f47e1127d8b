"""Bad selectors of containers and pods, and the very sentences with which the API server refuses them."""

from __future__ import annotations

from typing import Any

from conductor.model.kernel import OTHER_NAMESPACE
from tests.model.bad_parts import ETH0, LIBC, Bad, link

__all__ = ["CONTAINERS"]

PROBE = "spec.programs[0].uprobe.links[0].containers"
SPACE = "spec.programs[0].tcx.links[0].networkNamespaces"


def probe(**selector: Any) -> dict[str, Any]:
    return link("UProbe", {**LIBC, "containers": selector})


def space(**selector: Any) -> dict[str, Any]:
    return link("TCX", {"interfaceSelector": ETH0, "direction": "Ingress", "networkNamespaces": selector})


CONTAINERS = (
    Bad(
        "containers of nothing",
        link("UProbe", {**LIBC, "containers": {}}),
        (
            (
                "spec.programs[0].uprobe.links[0].containers",
                "Invalid value: selects nothing: give pods, podUIDs or containerIDs",
            ),
        ),
    ),
    Bad(
        "a pod's UID that is none",
        link("UProbe", {**LIBC, "containers": {"podUIDs": ["x"]}}),
        (
            (
                "spec.programs[0].uprobe.links[0].containers.podUIDs[0]",
                "Invalid value: \"x\": spec.programs[0].uprobe.links[0].containers.podUIDs[0] in body should match '^([0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|[0-9A-Fa-f]{32})$'",
            ),
        ),
    ),
    Bad(
        "a container's id that is none",
        link("UProbe", {**LIBC, "containers": {"containerIDs": ["abc"]}}),
        (
            (
                "spec.programs[0].uprobe.links[0].containers.containerIDs[0]",
                "Invalid value: \"abc\": spec.programs[0].uprobe.links[0].containers.containerIDs[0] in body should match '^([a-z0-9-]+://)?[0-9a-f]{64}$'",
            ),
        ),
    ),
    Bad(
        "a namespace without pods",
        space(namespace="shop", podUIDs=["0" * 32]),
        ((SPACE, "Invalid value: namespace is about pods: give pods, too; an empty one takes all"),),
    ),
    Bad(
        "a namespace alone",
        space(namespace="shop"),
        (
            (SPACE, "Invalid value: selects nothing: give pods, podUIDs or containerIDs"),
            (SPACE, "Invalid value: namespace is about pods: give pods, too; an empty one takes all"),
        ),
    ),
    Bad(
        "names of containers without pods",
        probe(containerNames=["app"], podUIDs=["0" * 32]),
        (
            (
                PROBE,
                "Invalid value: namespace and containerNames are about pods: give pods, too; an empty one takes all",
            ),
        ),
    ),
    Bad(
        "no names of containers",
        probe(containerNames=[], pods={}),
        (
            (
                f"{PROBE}.containerNames",
                f"Invalid value: 0: {PROBE}.containerNames in body should have at least 1 items",
            ),
        ),
    ),
    Bad(
        "a namespace that is no name",
        space(namespace="Shop", pods={}),
        (
            (
                f"{SPACE}.namespace",
                f"Invalid value: \"Shop\": {SPACE}.namespace in body should match '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'",
            ),
        ),
    ),
    Bad(
        "pods that are a list",
        probe(pods=["a"]),
        ((f"{PROBE}.pods", f'Invalid value: "array": {PROBE}.pods in body must be of type object: "array"'),),
    ),
    Bad(
        "pods by a label that is none",
        probe(pods={"matchLabels": {"app": "a b"}}),
        (
            (
                f"{PROBE}.pods.matchLabels.app",
                f"Invalid value: \"a b\": {PROBE}.pods.matchLabels.app in body should match '^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$'",
            ),
        ),
    ),
    Bad(
        "pods by too many labels",
        probe(pods={"matchLabels": {f"l{i}": "" for i in range(17)}}),
        ((f"{PROBE}.pods.matchLabels", "Too many: 17: must have at most 16 items"),),
    ),
    Bad(
        "pods by a demand without values",
        space(pods={"matchExpressions": [{"key": "app", "operator": "NotIn"}]}),
        ((f"{SPACE}.pods.matchExpressions[0].values", "Invalid value: operators In and NotIn need values"),),
    ),
    Bad(
        "pods by a demand with values too many",
        space(pods={"matchExpressions": [{"key": "app", "operator": "Exists", "values": ["a"]}]}),
        (
            (
                f"{SPACE}.pods.matchExpressions[0].values",
                "Invalid value: operators Exists and DoesNotExist take no values",
            ),
        ),
    ),
    Bad(
        "pods by an operator that is none",
        space(pods={"matchExpressions": [{"key": "app", "operator": "Equals"}]}),
        (
            (
                f"{SPACE}.pods.matchExpressions[0].operator",
                'Unsupported value: "Equals": supported values: "In", "NotIn", "Exists", "DoesNotExist"',
            ),
        ),
    ),
    Bad(
        "pods of a network whose interfaces have no names",
        link(
            "TCX",
            {
                "interfaceSelector": {"primaryNodeInterface": True},
                "direction": "Ingress",
                "networkNamespaces": {"pods": {}},
            },
        ),
        (("spec.programs[0].tcx.links[0].interfaceSelector", f"Invalid value: {OTHER_NAMESPACE}"),),
    ),
)
