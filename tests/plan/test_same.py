"""A wish that was kept is what is asked for, however it was pinned meanwhile."""

from __future__ import annotations

from dataclasses import replace

from conductor.model.grants import Access, MapGrant
from conductor.model.ids import Name
from conductor.model.kernel import ImageObject, KernelProgramSpec, PathObject
from conductor.model.program import BuiltinSource, UserProgramSpec, WasmSource
from conductor.plan.same import is_same

DIGEST = "sha256:" + "0" * 64
KERNEL = KernelProgramSpec(name=Name("k"), bytecode=PathObject(path="/x.o"), programs=())
USER = UserProgramSpec(name=Name("u"), source=WasmSource(location=ImageObject(url="r/x:1")))
GRANT = MapGrant(name="m", kernel_program=Name("k"), map="m", as_needed=True)


def test_digests_that_were_filled_in_make_no_difference() -> None:
    assert is_same(KERNEL, replace(KERNEL, bytecode=PathObject(path="/x.o", digest=DIGEST)))
    assert is_same(USER, replace(USER, source=WasmSource(location=ImageObject(url="r/x:1", digest=DIGEST))))


def test_a_digest_that_is_asked_for_does() -> None:
    asked = replace(USER, source=WasmSource(location=ImageObject(url="r/x:1", digest=DIGEST)))
    assert not is_same(asked, USER)
    other = replace(USER, source=WasmSource(location=ImageObject(url="r/x:1", digest=DIGEST[:-1] + "1")))
    assert not is_same(asked, other)


def test_access_that_was_left_open_is_settled_by_the_program() -> None:
    settled = replace(GRANT, access=Access.CONSUME, as_needed=False)
    assert is_same(replace(USER, maps=(GRANT,)), replace(USER, maps=(settled,)))
    fixed = replace(GRANT, as_needed=False)
    assert not is_same(replace(USER, maps=(fixed,)), replace(USER, maps=(settled,)))


def test_anything_else_is_another_wish() -> None:
    assert not is_same(KERNEL, replace(KERNEL, bytecode=PathObject(path="/y.o", digest=DIGEST)))
    assert not is_same(USER, replace(USER, config={"a": 1}))
    assert not is_same(USER, replace(USER, source=BuiltinSource(name="x")))
    assert not is_same(USER, KERNEL)
