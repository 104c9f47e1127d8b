"""Which maps a program is granted, and which kernel program comes along."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conductor.errors import InvalidSpec
from conductor.model.grants import Access, MapGrant, MapNeed, MapType
from conductor.model.ids import Name
from conductor.model.kernel import BuiltinObject, KernelFunctionSpec, KernelProgramSpec, KernelType, PathObject
from conductor.model.program import BuiltinSource, Source, UserProgramSpec
from conductor.plan.halves import Resolved, demands, resolve
from conductor.plan.merge import Held, Wish

FUNCTIONS = (KernelFunctionSpec(name="f", type=KernelType.TRACEPOINT),)
PART = (BuiltinObject(name="x"), FUNCTIONS)
READ = MapNeed(name="counts", type=MapType.HASH)
WRITE = MapNeed(name="config", type=MapType.ARRAY, access=Access.READ_WRITE)
RING = MapNeed(name="events", type=MapType.RINGBUF, access=Access.CONSUME)
KERNEL = KernelProgramSpec(name=Name("k"), bytecode=PathObject(path="/k.o"), programs=FUNCTIONS)


def user(*grants: MapGrant, name: str = "p") -> UserProgramSpec:
    return UserProgramSpec(name=Name(name), source=BuiltinSource(name="x"), maps=grants)


def grant(name: str, access: Access = Access.READ, kernel_program: str = "k") -> MapGrant:
    return MapGrant(name=name, kernel_program=Name(kernel_program), map=name, access=access)


def test_without_grants_the_half_comes_along_under_the_programs_name() -> None:
    resolved = resolve(user(), (READ, WRITE, RING), PART)
    assert resolved.brought == KernelProgramSpec(
        name=Name("p"), bytecode=BuiltinObject(name="x"), programs=FUNCTIONS, writable_maps=("config",)
    )
    assert resolved.grants == (
        grant("counts", kernel_program="p"),
        grant("config", Access.READ_WRITE, "p"),
        grant("events", Access.CONSUME, "p"),
    )


def test_with_grants_nothing_comes_along() -> None:
    resolved = resolve(user(grant("counts")), (READ,), PART)
    assert (resolved.brought, resolved.grants) == (None, (grant("counts"),))


@pytest.mark.parametrize(
    ("need", "option"),
    [
        (READ, "--map counts=KERNELPROGRAM"),
        (WRITE, "--map config=KERNELPROGRAM:rw"),
        (RING, "--map events=KERNELPROGRAM:consume"),
    ],
)
def test_a_need_without_a_grant_names_the_option(need: MapNeed, option: str) -> None:
    with pytest.raises(InvalidSpec, match=option):
        resolve(user(), (need,), None)


def test_some_grants_are_not_enough() -> None:
    with pytest.raises(InvalidSpec, match="--map config=KERNELPROGRAM:rw"):
        resolve(user(grant("counts")), (READ, WRITE), PART)


def test_a_grant_that_nobody_uses_is_refused_naming_what_is_used() -> None:
    with pytest.raises(InvalidSpec, match=r"maps\[1\].name: p does not use a map cuonts; it needs counts"):
        resolve(user(grant("counts"), grant("cuonts")), (READ,), None)


def test_a_weaker_grant_is_refused_and_a_stronger_one_is_taken() -> None:
    with pytest.raises(InvalidSpec, match="granted Read and needed ReadWrite: --map config=k:rw"):
        resolve(user(grant("config")), (WRITE,), None)
    assert resolve(user(grant("counts", Access.READ_WRITE)), (READ,), None).brought is None


def test_a_grant_that_leaves_its_access_open_gets_what_the_need_asks_for() -> None:
    open_ = [replace(grant(need.name), as_needed=True) for need in (READ, WRITE, RING)]
    resolved = resolve(user(*open_), (READ, WRITE, RING), None)
    assert resolved.grants == (
        grant("counts"),
        grant("config", Access.READ_WRITE),
        grant("events", Access.CONSUME),
    )


def test_an_open_grant_beside_a_weaker_one_opens_nothing_but_its_own_map() -> None:
    with pytest.raises(InvalidSpec, match="map config is granted Read and needed ReadWrite: --map config=k:rw"):
        resolve(user(replace(grant("events"), as_needed=True), grant("config")), (WRITE, RING), None)


def test_demands_are_what_was_asked_for_and_what_comes_along() -> None:
    brought = {Name("p"): (Source.FILE, resolve(user(), (READ,), PART))}
    held = [
        Held(source=Source.GRPC, wish=Wish(spec=KERNEL, generation=3)),
        Held(source=Source.GRPC, wish=Wish(spec=user())),
    ]
    found = demands(held, brought)
    assert [(d.spec.name, d.source, d.generation, d.needed_by) for d in found.values()] == [
        ("k", Source.GRPC, 3, ()),
        ("p", Source.FILE, 1, ("p",)),
    ]


def test_who_is_granted_a_map_needs_its_program() -> None:
    function = replace(FUNCTIONS[0], name="a_function_with_a_long_name")
    held = [Held(source=Source.GRPC, wish=Wish(spec=replace(KERNEL, programs=(function,))))]
    readers = {
        Name(name): (Source.GRPC, Resolved(grants=(grant("counts", kernel_program=named),)))
        for name, named in (("b", "k"), ("a", "a_function_with"), ("c", "another"), ("d", "k"))
    }
    assert demands(held, readers)[Name("k")].needed_by == ("a", "b", "d")
    assert demands(held, {})[Name("k")].needed_by == ()


def test_what_was_asked_for_wins_over_what_comes_along() -> None:
    explicit = replace(KERNEL, name=Name("p"))
    found = demands(
        [Held(source=Source.GRPC, wish=Wish(spec=explicit))],
        {Name("p"): (Source.GRPC, resolve(user(), (READ,), PART))},
    )
    assert found[Name("p")].spec == explicit


def test_a_map_that_someone_may_write_gets_a_writable_pin_and_keeps_it() -> None:
    held = [Held(source=Source.GRPC, wish=Wish(spec=KERNEL))]
    writer = {Name("p"): (Source.GRPC, Resolved(grants=(grant("config", Access.READ_WRITE),)))}
    opened = demands(held, writer)[Name("k")].spec
    assert opened.writable_maps == ("config",)
    # The writer is gone: a change would load the kernel program anew, so the pin stays as it is.
    assert demands(held, {}, [opened])[Name("k")].spec == opened
    assert demands(held, {}, [replace(opened, programs=())])[Name("k")].spec.writable_maps == ()


@pytest.mark.parametrize("named", ["k", "a_function_with_a_long_name", "a_function_with"])
def test_a_function_may_stand_for_its_program_when_a_map_is_written(named: str) -> None:
    """Clients of the first implementation name what bpfman lists, maybe cut to the kernel's 15 characters."""
    function = KernelFunctionSpec(name="a_function_with_a_long_name", type=KernelType.TRACEPOINT)
    held = [Held(source=Source.GRPC, wish=Wish(spec=replace(KERNEL, programs=(function,))))]
    writer = {Name("p"): (Source.GRPC, Resolved(grants=(grant("config", Access.READ_WRITE, named),)))}
    assert demands(held, writer)[Name("k")].spec.writable_maps == ("config",)
