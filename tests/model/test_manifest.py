"""Manifests: their shapes, each wrong field named, and back again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from conductor.errors import InvalidSpec
from conductor.model.grants import Access, MapGrant
from conductor.model.ids import Name
from conductor.model.kernel import (
    BuiltinObject,
    ImageObject,
    KernelFunctionSpec,
    KernelProgramSpec,
    KernelType,
    PathObject,
    PullPolicy,
    TracepointLink,
)
from conductor.model.manifest import manifest_of, parse_manifest
from conductor.model.program import BuiltinSource, Limits, UserProgramSpec, WasmSource

DESIGN = """
apiVersion: ebpfconductor.io/v1alpha1
kind: KernelProgram
metadata: {name: syscalls}
spec:
  bytecode: {path: /abs/x.bpf.o}
  programs: [{name: on_enter, type: TracePoint, tracepoint: {links: [{name: raw_syscalls/sys_enter}]}}]
---
apiVersion: ebpfconductor.io/v1alpha1
kind: UserProgram
metadata: {name: counter}
spec:
  source: {wasm: {path: /abs/x.wasm}}
  maps: [{name: counts, kernelProgram: syscalls, map: counts, access: Read}]
  config: {interval: 5}
"""


def kernel(**spec: Any) -> dict[str, Any]:
    body = {"bytecode": {"path": "/x.o"}, "programs": [{"name": "f", "type": "TracePoint"}]} | spec
    return document("KernelProgram", {key: value for key, value in body.items() if value is not None})


def user(**spec: Any) -> dict[str, Any]:
    return document("UserProgram", {"source": {"builtin": "service_map"}} | spec)


def document(kind: str, spec: Any, **metadata: Any) -> dict[str, Any]:
    head = {"apiVersion": "ebpfconductor.io/v1alpha1", "kind": kind, "metadata": {"name": "x"} | metadata}
    return head | {"spec": spec}


def test_the_example_of_the_contract() -> None:
    first, second = (parse_manifest(doc) for doc in yaml.safe_load_all(DESIGN))
    assert first == KernelProgramSpec(
        name=Name("syscalls"),
        bytecode=PathObject(path="/abs/x.bpf.o"),
        programs=(
            KernelFunctionSpec(
                name="on_enter",
                type=KernelType.TRACEPOINT,
                links=(TracepointLink(name="raw_syscalls/sys_enter"),),
            ),
        ),
    )
    grant = MapGrant(name="counts", kernel_program=Name("syscalls"), map="counts", access=Access.READ)
    assert second == UserProgramSpec(
        name=Name("counter"),
        source=WasmSource(location=PathObject(path="/abs/x.wasm")),
        maps=(grant,),
        config={"interval": 5},
    )


FULL = {
    "bytecode": {"image": {"url": "reg.example/x:1", "pullPolicy": "Always", "pullSecret": "s"}},
    "globalData": {"sample": "AQAAAA=="},
    "mapOwner": "other",
    "writableMaps": ["config"],
    "nodeSelector": {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "k", "operator": "Exists"}]},
    "updateStrategy": {"type": "Recreate", "maxUnavailable": "10%", "canary": 1, "pause": True},
}


def test_every_field_of_a_kernel_program() -> None:
    parsed = parse_manifest(kernel(**FULL))
    assert isinstance(parsed, KernelProgramSpec)
    assert parsed.bytecode == ImageObject(url="reg.example/x:1", pull_policy=PullPolicy.ALWAYS, pull_secret="s")
    assert (parsed.global_data, parsed.map_owner, parsed.writable_maps) == (
        {"sample": b"\1\0\0\0"},
        "other",
        ("config",),
    )


def test_every_field_of_a_user_program() -> None:
    parsed = parse_manifest(
        user(
            limits={
                "memory": "32Mi",
                "cpu": "100m",
                "cpuCall": "500ms",
                "series": 5,
                "logLines": "7",
                "inbox": "1Mi",
                "mapOperations": "2k",
            }
        )
    )
    assert isinstance(parsed, UserProgramSpec)
    assert parsed.source == BuiltinSource(name="service_map")
    assert parsed.limits == Limits(
        memory=32 << 20, cpu=0.1, cpu_call=0.5, series=5, log_lines=7, inbox=1 << 20, map_operations=2000
    )


def test_labels_are_metadata_and_what_a_server_adds_is_passed_over() -> None:
    doc = document("UserProgram", {"source": {"builtin": "x"}}, labels={"team": "net"}, uid="1", managedFields=[])
    assert parse_manifest(doc | {"status": {"ready": 1}}).metadata == {"team": "net"}


@pytest.mark.parametrize(
    ("doc", "says"),
    [
        ([], r"manifest: \[\] is not a mapping"),
        ({}, "apiVersion: required"),
        (user() | {"apiVersion": "v1"}, "apiVersion: 'v1' is not ebpfconductor.io/v1alpha1"),
        (user() | {"kind": "UserProgramm"}, "kind: .* did you mean UserProgram?"),
        (document("UserProgram", {}, name="Bad Name"), "metadata.name: 'Bad Name' is not a name"),
        (document("UserProgram", {}, namespace="x"), "metadata.namespace: a UserProgram is cluster-scoped"),
        (document("UserProgram", None), "spec: required"),
        (user(source={}), "spec.source: needs exactly one of builtin, wasm: none is there"),
        (user(source={"builtin": "x", "wasm": {}}), "builtin and wasm are both there"),
        (user(source={"wasm": {"path": "x.wasm"}}), "spec.source.wasm.path: 'x.wasm' is not absolute"),
        (user(sorce=1), "spec.sorce: unknown field; did you mean source?"),
        (user(maps=[{"name": "a"}]), r"spec.maps\[0\].kernelProgram: required"),
        (user(maps=[{"name": "../a", "kernelProgram": "k"}]), r"spec.maps\[0\].name: '../a' is not a map's name"),
        (
            user(maps=[{"name": "a", "kernelProgram": "k", "access": "read"}]),
            r"spec.maps\[0\].access: 'read' is not one of Read, Consume, ReadWrite; did you mean Read",
        ),
        (user(maps=[{"name": "a", "kernelProgram": "k"}] * 2), r"spec.maps\[1\].name: 'a' is granted twice"),
        (user(maps=[{"name": "a", "kernelProgram": "k"}] * 65), "spec.maps: has 65 items"),
        (user(config=[]), r"spec.config: \[\] is not a JSON object"),
        (user(config={"a": {"b": float("nan")}}), "spec.config.a.b: nan is not a number that JSON knows"),
        (user(config={"a": 1 << 70}), "spec.config.a: is a number past 64 bits"),
        (user(config={1: 2}), "spec.config: 1 is not a string"),
        (user(config=yaml.safe_load("a: 2024-01-01")), "spec.config.a: .* is not JSON; quote it"),
        (user(limits={"memory": "32MB"}), "spec.limits.memory: '32MB' is not a quantity like 32Mi"),
        (user(limits={"memory": "1Ti"}), "spec.limits.memory: '1Ti' is not a whole number between"),
        (user(limits={"cpus": 1}), "spec.limits.cpus: unknown field; did you mean cpu?"),
        (user(updateStrategy={"canary": "1.5"}), "spec.updateStrategy.canary: '1.5' is not a number of nodes"),
        (
            user(nodeSelector={"zone": "a"}),
            "spec.nodeSelector.zone: unknown field; known here: matchExpressions, match",
        ),
        (kernel(bytecode=None), "spec.bytecode: required"),
        (kernel(bytecode={"path": "/a", "builtin": "b"}), "spec.bytecode: needs exactly one of image, builtin, path"),
        (kernel(bytecode={"digest": "md5:1"}), "spec.bytecode.digest: 'md5:1' is not sha256"),
        (kernel(globalData={"a": "%%"}), "spec.globalData.a: '%%' is not base64"),
        (kernel(mapOwner="A"), "spec.mapOwner: 'A' is not a name"),
        (kernel(writableMaps=["a,b"]), "spec.writableMaps: 'a,b' is not a map's name"),
        (kernel(programs=[]), "spec.programs: has 0 items, not 1 to 64"),
        (kernel(programs=[{"name": "f", "type": "Tracepoint"}]), "did you mean TracePoint"),
        (kernel(programs=[{"name": "f", "type": "XDP"}] * 2), r"spec.programs\[1\].name: 'f' stands there twice"),
    ],
)
def test_what_is_wrong_is_named(doc: Any, says: str) -> None:
    with pytest.raises(InvalidSpec, match=says):
        parse_manifest(doc)


def test_an_alias_bomb_is_refused_in_no_time() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(InvalidSpec, match="holds more than 10000 values"):
        parse_manifest(user(config=yaml.safe_load("\n".join(lines))))


def test_a_config_that_holds_itself_is_refused() -> None:
    config: dict[str, Any] = {}
    config["self"] = config
    with pytest.raises(InvalidSpec, match="nested deeper than 32"):
        parse_manifest(user(config=config))


def test_unknown_fields_of_another_version_are_noted_where_that_is_wanted() -> None:
    unknown: list[str] = []
    doc = user(colour="blue", maps=[{"name": "a", "kernelProgram": "k", "speed": 1}])
    assert isinstance(parse_manifest(doc, unknown=unknown), UserProgramSpec)
    assert unknown == ["spec.maps[0].speed", "spec.colour"]


@pytest.mark.parametrize("path", sorted(Path("examples").glob("*.yaml")), ids=lambda path: path.name)
def test_every_example_is_a_manifest(path: Path) -> None:
    for doc in yaml.safe_load_all(path.read_text()):
        assert parse_manifest(manifest_of(parse_manifest(doc))) == parse_manifest(doc)


def test_a_builtin_object_and_an_uploaded_one() -> None:
    assert parse_manifest(kernel(bytecode={"builtin": "service_map"})).bytecode == BuiltinObject(name="service_map")  # type: ignore[union-attr]
    digest = "sha256:" + "0" * 64
    assert parse_manifest(kernel(bytecode={"digest": digest})).bytecode == PathObject(path="", digest=digest)  # type: ignore[union-attr]
