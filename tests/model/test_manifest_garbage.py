"""Garbage in: InvalidSpec, and nothing else, ever. Whatever is accepted comes back the same."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from conductor.errors import InvalidSpec
from conductor.model.manifest import manifest_of, parse_manifest
from conductor.model.manifest_limits import parse_limits

LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=4) | st.dates()
)
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(LEAVES, inner, max_size=4), max_leaves=12
)
HEAD = {"apiVersion": "ebpfconductor.io/v1alpha1", "metadata": {"name": "x", "labels": {"a": "b"}}}
KERNEL = HEAD | {
    "kind": "KernelProgram",
    "spec": {
        "bytecode": {"image": {"url": "r/x", "pullPolicy": "Always"}},
        "globalData": {"g": "AA=="},
        "mapOwner": "o",
        "programs": [
            {
                "name": "f",
                "type": "TC",
                "tc": {
                    "links": [
                        {
                            "interfaceSelector": {"interfacesDiscoveryConfig": {"allowedInterfaces": ["/a/"]}},
                            "direction": "Ingress",
                            "proceedOn": ["Pipe"],
                            "priority": 3,
                        }
                    ]
                },
            },
            {"name": "g", "type": "UProbe", "uprobe": {"links": [{"target": "libc", "function": "f", "pid": 1}]}},
        ],
        "nodeSelector": {"matchExpressions": [{"key": "k", "operator": "In", "values": ["v"]}]},
        "updateStrategy": {"type": "Overlap", "canary": "5%"},
    },
}
USER = HEAD | {
    "kind": "UserProgram",
    "spec": {
        "source": {"wasm": {"path": "/x", "digest": "sha256:" + "0" * 64}},
        "maps": [{"name": "a", "kernelProgram": "k", "map": "m", "access": "Consume"}],
        "config": {"a": [1, {"b": None}]},
        "limits": {"memory": "32Mi", "cpu": "500m"},
    },
}


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(path for key, child in children for path in paths(child, (*at, key)))]


def put(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    changed = copy.deepcopy(document)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


def check(document: Any) -> None:
    try:
        spec = parse_manifest(document)
    except InvalidSpec:
        return
    printed = manifest_of(spec)
    assert parse_manifest(printed) == spec
    assert parse_manifest(json.loads(json.dumps(printed))) == spec


@given(ANYTHING)
def test_anything(document: Any) -> None:
    check(document)


@settings(max_examples=300)
@given(st.sampled_from([KERNEL, USER]), st.data(), ANYTHING)
def test_anything_anywhere(document: Any, data: st.DataObject, value: Any) -> None:
    check(put(document, data.draw(st.sampled_from(paths(document))), value))


@given(st.dictionaries(st.sampled_from(["memory", "cpu", "cpuCall", "series", "inbox", "x"]), ANYTHING | st.text()))
def test_limits(raw: Any) -> None:
    try:
        limits = parse_limits(raw)
    except InvalidSpec:
        return
    assert limits.memory >= 64 << 10
    assert 0 < limits.cpu <= 1024


def test_the_seeds_are_good() -> None:
    for document in (KERNEL, USER):
        spec = parse_manifest(document)
        assert parse_manifest(manifest_of(spec)) == spec
