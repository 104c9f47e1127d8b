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
    "updateStrategy": {"type": "Overlap", "maxUnavailable": "10%", "canary": 1, "pause": True},
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
    assert parse_manifest(doc | {"status": {"phase": "Idle"}}).metadata == {"team": "net"}


@pytest.mark.parametrize(
    ("doc", "says"),
    [
        ([], r"manifest: \[\] is not a mapping"),
        ({}, "apiVersion: apiVersion not set"),
        ({"apiVersion": "ebpfconductor.io/v1alpha1"}, "kind: kind not set"),
        (user() | {"apiVersion": "v1"}, 'apiVersion: no matches for kind "UserProgram" in version "v1"; it is ebpf'),
        (
            user() | {"kind": "UserProgramm"},
            'kind: no matches for kind "UserProgramm" in .*; did you mean UserProgram?',
        ),
        (user(sorce=1), r'spec.sorce: unknown field "spec.sorce"; did you mean source\?'),
        (user(limits={"cpu": 0.5}), r'must be of type integer,string: "number"; a fraction is text, as in "0.5"'),
    ],
)
def test_what_is_wrong_is_named(doc: Any, says: str) -> None:
    with pytest.raises(InvalidSpec, match=says):
        parse_manifest(doc)


@pytest.mark.parametrize(
    ("doc", "says"),
    [
        (user(config={"a": {"b": float("nan")}}), "spec.config.a.b: nan is not a number that JSON knows"),
        (user(config={"a": 1 << 70}), "spec.config.a: is a number past 64 bits"),
        (user(config={1: 2}), "spec.config: 1 is not a string"),
        (user(config=yaml.safe_load("a: 2024-01-01")), "spec.config.a: .* is not JSON; quote it"),
        (user(source={"wasm": {"path": "/a\0"}}), "spec.source.wasm.path: holds a NUL"),
    ],
)
def test_what_a_schema_cannot_say_is_refused_still(doc: Any, says: str) -> None:
    with pytest.raises(InvalidSpec, match=says):
        parse_manifest(doc)


def test_a_namespace_is_passed_over_as_the_api_server_does() -> None:
    assert parse_manifest(document("UserProgram", {"source": {"builtin": "x"}}, namespace="n")).name == "x"


def test_nulls_are_fields_left_out() -> None:
    assert parse_manifest(user(maps=None, limits={"memory": None}, updateStrategy={"type": None})) == parse_manifest(
        user()
    )


@pytest.mark.parametrize("limits", [Limits(cpu=0.25, cpu_call=0.5), Limits(cpu=2, cpu_call=3, memory=1 << 20)])
def test_limits_are_printed_as_the_schema_takes_them(limits: Limits) -> None:
    wish = UserProgramSpec(name=Name("x"), source=BuiltinSource(name="x"), limits=limits)
    assert parse_manifest(manifest_of(wish)) == wish


@pytest.mark.parametrize("type_", ["Overlap", "Recreate"])
def test_of_a_strategy_a_wish_keeps_whether_versions_overlap(type_: str) -> None:
    wish = parse_manifest(user(updateStrategy={"type": type_, "canary": 2, "pause": True}))
    assert isinstance(wish, UserProgramSpec)
    assert wish.overlap is (type_ == "Overlap")
    assert parse_manifest(manifest_of(wish)) == wish
    told = manifest_of(wish)["spec"].get("updateStrategy")
    assert told == (None if wish.overlap else {"type": "Recreate"})


def test_a_wish_stored_by_a_version_without_strategies_overlaps() -> None:
    assert parse_manifest(user(), unknown=[]).overlap  # type: ignore[union-attr]


def test_how_versions_follow_each_other_is_no_change_of_what_runs() -> None:
    one, other = (parse_manifest(user(updateStrategy={"type": type_})) for type_ in ("Overlap", "Recreate"))
    changed = parse_manifest(user(config={"a": 1}))
    assert isinstance(one, UserProgramSpec)
    assert isinstance(other, UserProgramSpec)
    assert isinstance(changed, UserProgramSpec)
    assert one != other
    assert one.runs_as(other)
    assert other.runs_as(one)
    assert not other.runs_as(changed)


def test_a_stored_wish_is_read_without_the_schema() -> None:
    stored = document(
        "UserProgram", {"source": {"builtin": "x"}, "limits": {"cpu": 0.5}}, name="a_b", labels={"a b": "c d"}
    )
    with pytest.raises(InvalidSpec):
        parse_manifest(stored)
    read = parse_manifest(stored, unknown=[])
    assert isinstance(read, UserProgramSpec)
    assert (read.name, read.limits.cpu, read.metadata) == ("a_b", 0.5, {"a b": "c d"})


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
