"""Manifests at the door: each bad one gets its line and sentence, and none costs more than its size."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conductor.api.manifests import change_of, documents, keys_of, specs_of
from conductor.errors import InvalidSpec
from conductor.model.agent import Applied
from conductor.model.program import BuiltinSource, UserProgramSpec

GOOD = """\
# a comment
apiVersion: ebpfconductor.io/v1alpha1
kind: UserProgram
metadata: {name: counter}
spec:
  source: {builtin: service_map}
  config: {interval: 5}
---
---
apiVersion: ebpfconductor.io/v1alpha1
kind: KernelProgram
metadata: {name: syscalls}
spec:
  bytecode: {path: /abs/x.bpf.o}
  programs:
  - name: on_enter
    type: TracePoint
    tracepoint: {links: [{name: raw_syscalls/sys_enter}]}
"""
LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {k: 1}\n" + "".join(
    f"{new}: &{new} {{<<: [{','.join([f'*{old}'] * 9)}]}}\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


def test_documents_become_wishes() -> None:
    user, kernel = specs_of(GOOD)
    assert isinstance(user, UserProgramSpec)
    assert (user.name, user.source, user.config) == ("counter", BuiltinSource(name="service_map"), {"interval": 5})
    assert kernel.name == "syscalls"
    assert keys_of(GOOD) == (("UserProgram", "counter"), ("KernelProgram", "syscalls"))
    assert [document["kind"] for document in documents(GOOD)] == ["UserProgram", "KernelProgram"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "manifest: holds no document"),
        ("a: [", "line 1: no YAML"),
        ("a: b: c", "line 1: no YAML"),
        ("\t", "line 1: no YAML"),
        ("- a\n- b", "line 1: a manifest is a mapping"),
        ("x: 1\nkind: a\nkind: b", "line 3: no YAML: 'kind' is given twice"),
        ("a: !!python/object/apply:os.system [id]", "line 1: no YAML"),
        ("a: *nobody", "line 1: no YAML"),
        ("a: &a [*a]", "line 1: nested deeper than 40"),
        ("a: " + "[" * 100 + "]" * 100, "line 1: nested deeper than 40"),
        ("[" * 100_000, "nested deeper than 40"),
        (LAUGHS, "more than 50000 values, aliases written out"),
        (MERGES, "more than 50000 values, aliases written out"),
        ("x" * (300 << 10), "manifest: longer than 256 KiB"),
        ("a: 1\n---\n" * 300, "more than 256 documents"),
        ("a: !!timestamp 2001-99-99", "manifest: a value cannot be read"),
        ("a: \x00", "no YAML"),
        (
            GOOD.replace("builtin: service_map", "builtn: service_map"),
            'line 6: spec.source.builtn: unknown field "spec.source.builtn"; did you mean builtin?',
        ),
        (GOOD.replace("type: TracePoint", "type: Tracepoint"), "line 17: spec.programs[0].type: "),
        (GOOD.replace("kind: UserProgram", "kind: Userprogram"), 'line 3: kind: no matches for kind "Userprogram"'),
        (
            GOOD.replace("{name: counter}", "{}"),
            "line 4: metadata.name: Required value: name or generateName is required",
        ),
        (GOOD + "---\n" + GOOD, "line 23: metadata.name: UserProgram counter is there twice"),
    ],
)
def test_bad_manifests_get_a_line_and_a_sentence(text: str, sentence: str) -> None:
    started = time.monotonic()
    with pytest.raises(InvalidSpec) as refused:
        specs_of(text)
    assert sentence in str(refused.value)
    assert time.monotonic() - started < 5


def test_a_date_is_text_as_for_kubectl() -> None:
    spec, _ = specs_of(GOOD.replace("{interval: 5}", "{since: 2024-01-01}"))
    assert isinstance(spec, UserProgramSpec)
    assert spec.config == {"since": "2024-01-01"}


def test_what_is_to_be_deleted_needs_only_a_name() -> None:
    assert keys_of("kind: UserProgram\nmetadata: {name: a}\nspec: 5") == (("UserProgram", "a"),)
    for bad in ("kind: Pod\nmetadata: {name: a}", "kind: UserProgram", "kind: UserProgram\nmetadata: {name: A}"):
        with pytest.raises(InvalidSpec, match=r"line \d"):
            keys_of(bad)


@settings(deadline=None, max_examples=200)
@given(st.text(st.sampled_from("ab:-[]{}&*!|>'\"#%@,? \n\t0.~<=\\"), max_size=60) | st.text(max_size=40))
def test_garbage_is_refused_and_never_more(text: str) -> None:
    for read in (specs_of, keys_of):
        with pytest.raises(InvalidSpec):
            read(text)


def test_a_change_is_told_as_a_diff_of_yaml() -> None:
    old, new = (specs_of(GOOD.replace("5", interval))[0] for interval in ("5", "7"))
    change = change_of(Applied(kind="UserProgram", name=new.name, action="configured", old=old, new=new))
    assert change.diff.splitlines()[:2] == ["--- UserProgram/counter", "+++ UserProgram/counter (new)"]
    assert "-    interval: 5\n+    interval: 7\n" in change.diff
    same = change_of(Applied(kind="UserProgram", name=new.name, action="unchanged", old=new, new=new))
    assert same.diff == ""
    gone = change_of(Applied(kind="UserProgram", name=new.name, action="deleted", old=new))
    assert "-kind: UserProgram\n" in gone.diff
