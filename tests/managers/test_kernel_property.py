"""Whatever happens to agent, daemon and kernel, in whatever order: in the end exactly what is wished runs.

Each example is a history of wishes, faults and kills over the fake daemon, on virtual time. The last thing asked for
must be there once, attached once, recorded once, and nothing else; and then nothing may be done any more.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from conductor.errors import KernelRefused
from conductor.managers.kernel_half import KernelHalf, KernelWish
from conductor.model.ids import Name
from conductor.model.kernel import InterfaceSelector
from conductor.model.status import State
from tests.fakes import virtual_time
from tests.fakes.kernel import Fault
from tests.managers.kernel_world import ENTER, ETH0, EXIT, LO, World, net, trace, wishes, xdp

NAMES = ("a", "b", "c")


@dataclass(frozen=True)
class Ask:
    """Wish for these, and wait as long as a caller would."""

    wanted: tuple[KernelWish, ...]


@dataclass(frozen=True)
class Faults:
    """Let these befall the next calls that change something."""

    faults: tuple[Fault | None, ...]


@dataclass(frozen=True)
class Refuse:
    """Refuse this verb from now on, until the end or the next refusal."""

    verb: str


@dataclass(frozen=True)
class Outside:
    """Something happens outside."""

    what: str


@dataclass(frozen=True)
class Sleep:
    """Time passes."""

    seconds: float


Step = Ask | Faults | Refuse | Outside | Sleep


def _wish(name: str) -> st.SearchStrategy[KernelWish]:
    path = st.sampled_from(["/o/trace.o", "/o/trace2.o"])
    owner = st.sampled_from([None, *(n for n in NAMES if n < name)])
    links = st.sampled_from([(ENTER,), (EXIT,), (ENTER, EXIT)])
    traced = st.builds(lambda p, o, ls: trace(name, *ls, path=p, owner=o), path, owner, links)
    select = st.sampled_from([InterfaceSelector(discover=True, exclude=()), InterfaceSelector(names=("lo",))])
    netted = st.builds(lambda s, p: net(name, s, priority=p), select, st.sampled_from([10, 20]))
    # One name only: two XDP programs at one interface cannot both be had.
    exclusive = st.builds(lambda p: xdp(name, p), st.sampled_from(["/o/xdp.o", "/o/xdp2.o"]))
    return st.one_of(traced, netted, exclusive) if name == "a" else st.one_of(traced, netted)


WISHES = st.tuples(*(st.none() | _wish(name) for name in NAMES)).map(lambda each: tuple(w for w in each if w))
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(Ask, WISHES),
    st.builds(Ask, WISHES),
    st.builds(Faults, st.lists(st.none() | st.sampled_from(Fault), min_size=1, max_size=6).map(tuple)),
    st.builds(Refuse, st.sampled_from(["load", "attach", "detach", "unload", "nothing"])),
    st.builds(Outside, st.sampled_from(["kill", "away", "back", "forget", "unlink", "unload", "nic", "lose-records"])),
    st.builds(Sleep, st.sampled_from([0.0, 1.0, 45.0, 700.0])),
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, max_size=12), WISHES, st.booleans())
def test_every_history_ends_with_exactly_what_is_wished(
    steps: list[Step], last: tuple[KernelWish, ...], is_bpfman: bool
) -> None:
    last = tuple(wish for wish in last if _has_owner(wish, last))
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        world.kernel.is_bpfman = is_bpfman
        virtual_time.run(history(world, steps, last))


async def history(world: World, steps: list[Step], last: tuple[KernelWish, ...]) -> None:
    rest = steps
    while rest:
        async with world.half() as half:
            rest = await live(world, half, rest)
    world.kernel.faults.clear()
    world.kernel.refusals.clear()
    world.kernel.come_back()
    async with world.half() as half:
        await half.converge(wishes(*last))
        await asyncio.sleep(2000)
        check(world, half, last)
        before = (replace(half.counters), dict(world.kernel.links), dict(world.kernel.programs))
        await asyncio.sleep(2000)
        after = (replace(half.counters, passes=before[0].passes), world.kernel.links, world.kernel.programs)
        assert before == after, "something was done though nothing was left to do"


async def live(world: World, half: KernelHalf, steps: list[Step]) -> list[Step]:
    """Take steps until the agent is killed; answer those that are left. What hangs then stays half done."""
    for i, step in enumerate(steps):
        match step:
            case Ask(wanted=wanted):
                with suppress(TimeoutError):
                    async with asyncio.timeout(20):
                        await half.converge(wishes(*wanted))
            case Faults(faults=faults):
                world.kernel.faults.extend(faults)
            case Refuse(verb=verb):
                world.kernel.refusals = {verb: KernelRefused("no")}
            case Sleep(seconds=seconds):
                await asyncio.sleep(seconds)
            case Outside(what="kill"):
                return steps[i + 1 :]
            case Outside(what=what):
                outside(world, what)
    return []


def outside(world: World, what: str) -> None:
    kernel = world.kernel
    match what:
        case "away":
            kernel.go_away()
        case "back":
            kernel.come_back()
        case "forget":
            kernel.forget()
        case "unlink" if kernel.links:
            kernel.links.popitem()
        case "unload" if kernel.programs:
            id_, _ = kernel.programs.popitem()
            kernel.links = {key: link for key, link in kernel.links.items() if link.program != id_}
        case "nic":
            kernel.links = {key: link for key, link in kernel.links.items() if link.interface != "eth0"}
            world.interfaces.change(LO, replace(ETH0, index=ETH0.index + len(kernel.links) + 1))
        case "lose-records":
            (world.folder / "links.json").unlink(missing_ok=True)
        case _:
            pass


def check(world: World, half: KernelHalf, last: tuple[KernelWish, ...]) -> None:
    apps = sorted(p.metadata["ebpfconductor.io/app"] for p in world.kernel.programs.values())
    event(f"{len(apps)} programs, {len(world.kernel.links)} links")
    assert apps == sorted(wish.spec.name for wish in last)
    for status in half.observed():
        assert status.condition.state is State.RUNNING, status.condition
        assert len(status.functions) == 1
    assert world.attached() == {(wish.spec.name, place) for wish in last for place in _places(wish)}
    assert len(world.kernel.links) == sum(len(_places(wish)) for wish in last)
    kept = json.loads((world.folder / "links.json").read_text())["links"] if last else []
    assert sorted(record["link"] for record in kept) == sorted(world.kernel.links)
    for wish in last:
        if wish.spec.map_owner is not None:
            assert _maps(world, wish.spec.name) == _maps(world, wish.spec.map_owner)
    owners = [_maps(world, wish.spec.name) for wish in last if wish.spec.map_owner is None]
    assert len(set(owners)) == len(owners), "maps are shared that nobody lent"


def _has_owner(wish: KernelWish, last: tuple[KernelWish, ...]) -> bool:
    owner = wish.spec.map_owner
    if owner is None:
        return True
    return any(w.spec.name == owner and _has_owner(w, last) for w in last)


def _places(wish: KernelWish) -> list[str]:
    (program,) = wish.spec.programs
    places = []
    for link in program.links:
        selector = getattr(link, "interfaces", None)
        if selector is None:
            places.append(getattr(link, "name", ""))
        else:
            places += list(selector.names) or ["lo", "eth0"]
    return places


def _maps(world: World, name: Name) -> tuple[int, ...]:
    (found,) = [p for p in world.kernel.programs.values() if p.metadata["ebpfconductor.io/app"] == name]
    return found.map_ids
