"""An honest in-memory kernel daemon behind `ports.Kernel`.

What it models, as both bpfman daemons and our loader behave: ids that only grow; the programs of one Load share maps;
`map_owner` takes the owner's maps by name, also where those are an earlier owner's, and refuses another layout; lists
match metadata exactly; one program attaches once at one place (the kernel's EEXIST), and one XDP program at one
interface, as without a dispatcher; Unload takes links along; unknown ids are NotFound; a connection that comes and
goes; a daemon that lost everything; links and programs that vanish from outside; an answer lost before or after the
work was done; a bpfman that was killed between writing a link down and making it; objects that never load or never attach; the Rust daemon's ways not to share maps.
What it does not model: the verifier (objects say whether they are refused), real types, time, dispatchers.
It may grow only by behaviour that the contract suite shows of a real daemon too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import TypeVar

from conductor.errors import (
    AlreadyExists,
    AnswerLost,
    ConductorError,
    InvalidSpec,
    KernelAway,
    KernelRefused,
    NotFound,
    ObjectUnreadable,
    VerifierRejected,
)
from conductor.model.ids import LinkId, ProgramId
from conductor.model.kernel import KernelType, Link, TcLink, TcxLink, XdpLink
from conductor.ports import KernelLoad, KernelLoaded, RoadStatus

__all__ = ["FakeKernel", "FakeLink", "FakeObject", "Fault"]

T = TypeVar("T")
HERE = RoadStatus(road="embedded", flavour="loader", version="0", connected=True, lists_what_stands=True)
BPFMAN = RoadStatus(road="bpfman", flavour="bpfman-go", version="0", connected=True)
AWAY = RoadStatus(road="embedded", problem="the fake daemon is away")


@dataclass(frozen=True)
class FakeObject:
    """What an object file holds; `rejected` names programs that the verifier refuses."""

    programs: Mapping[str, KernelType]
    maps: tuple[str, ...] = ("counts",)
    layouts: Mapping[str, str] = field(default_factory=dict)
    """Layout by map, where it is not the usual one."""
    variables: Mapping[str, int] = field(default_factory=dict)
    rejected: tuple[str, ...] = ()


@dataclass(frozen=True)
class FakeLink:
    """One link that stands."""

    program: ProgramId
    link: Link
    interface: str


class Fault(Enum):
    """What may befall one call that changes something."""

    UNSENT = auto()
    LOST_UNDONE = auto()
    LOST_WRITTEN = auto()
    """An Attach that the daemon wrote down and was killed before it did: listed, and stands nowhere."""
    LOST_DONE = auto()
    HANG_UNDONE = auto()
    HANG_DONE = auto()


class FakeKernel:
    """Hold programs and links; `objects` are the files that exist, `interfaces` (None: any) where links may go."""

    def __init__(self, objects: Mapping[str, FakeObject]) -> None:
        self.objects = dict(objects)
        self.interfaces: set[str] | None = None
        self.programs: dict[ProgramId, KernelLoaded] = {}
        self.links: dict[LinkId, FakeLink] = {}
        self.runs: Mapping[ProgramId, tuple[float, int]] | None = None
        self.faults: deque[Fault | None] = deque()
        """Taken one by one by calls that change something; empty: none."""
        self.refusals: dict[str, ConductorError] = {}
        """Error by verb (`load`, `attach`, `detach`, `unload`) or by attach target, until taken out."""
        self.orphans: list[KernelLoaded] | None = None
        """Programs in the kernel that are not held; None: not told, as by most daemons."""
        self.refused_objects: dict[str, str] = {}
        """Verb that is refused by object: one that never loads, or loads and never attaches."""
        self.owner_refusal: ConductorError | None = None
        """Why no maps are lent, as the Rust daemon's client says."""
        self.pretends = False
        """Whether a map owner is taken and its maps are not used, as the Rust daemon does."""
        self.refused_netns = ""
        """A network namespace that lacks every interface."""
        self.last_refusal: ConductorError | None = None
        self.flickers = False
        """Whether links go at once, as those of an interface that vanishes just then."""
        self._next_id = 100
        self._next_map = 1000
        self._maps: dict[ProgramId, dict[str, tuple[int, str]]] = {}
        """Id and layout of each map, by program and name."""
        self._paths: dict[ProgramId, str] = {}
        self.ghosts: set[LinkId] = set()
        """Links that are listed and do not stand; a bpfman that is killed leaves them."""
        self.is_bpfman = False
        self._status = HERE
        self._told = 0
        self._changed = asyncio.Event()

    # --- what a test does to the daemon from outside --------------------------------------------------------------

    def go_away(self) -> None:
        """End the connection; what is loaded stays."""
        self._tell(AWAY)

    def come_back(self) -> None:
        """Answer again."""
        self._tell(HERE)

    def forget(self) -> None:
        """Lose every program and link, as when the bpffs went away."""
        self.programs.clear()
        self.links.clear()
        self._maps.clear()

    def _tell(self, status: RoadStatus) -> None:
        self._status = status
        self._told += 1
        self._changed.set()
        self._changed = asyncio.Event()

    # --- ports.Kernel -----------------------------------------------------------------------------------------------

    @property
    def status(self) -> RoadStatus:
        return BPFMAN if self.is_bpfman and self._status is HERE else self._status

    async def connection(self) -> AsyncIterator[RoadStatus]:
        told = -1
        while True:
            if told != self._told:
                told = self._told
                yield self.status
            else:
                await self._changed.wait()

    async def loaded(self, match: Mapping[str, str]) -> tuple[KernelLoaded, ...]:
        await self._reach()
        fitting = [p for p in self.programs.values() if match.items() <= p.metadata.items()]
        return tuple(replace(p, links=self._links_of(p.id)) for p in fitting)

    async def unmanaged(self) -> tuple[KernelLoaded, ...] | None:
        await self._reach()
        return None if self.orphans is None else tuple(self.orphans)

    def _links_of(self, program: ProgramId) -> tuple[LinkId, ...]:
        return tuple(id_ for id_, link in self.links.items() if link.program == program)

    async def load(self, load: KernelLoad) -> tuple[KernelLoaded, ...]:
        return await self._change("load", lambda: self._load(load))

    def _load(self, load: KernelLoad) -> tuple[KernelLoaded, ...]:
        found = self._checked(load)
        maps = self._maps_for(load, found)
        programs = []
        for program in load.programs:
            id_ = ProgramId(self._fresh())
            self._maps[id_], self._paths[id_] = maps, load.path
            programs.append(
                KernelLoaded(
                    id=id_,
                    name=program.name,
                    type=program.type,
                    tag=f"{id_:016x}",
                    map_ids=tuple(id_ for id_, _ in maps.values()),
                    map_pin_path=f"/fake/maps/{id_}",
                    metadata=dict(load.metadata),
                )
            )
        self.programs |= {p.id: p for p in programs}
        return tuple(programs)

    def _checked(self, load: KernelLoad) -> FakeObject:
        if load.path not in self.objects:
            raise ObjectUnreadable(f"{load.path}: no such file")
        found = self.objects[load.path]
        if self.refused_objects.get(load.path) == "load":
            raise KernelRefused(f"{load.path} is refused")
        for program in load.programs:
            if program.name not in found.programs:
                raise InvalidSpec("programs", f"{program.name} is none of {', '.join(found.programs)}")
            if program.name in found.rejected:
                raise VerifierRejected(program.name, ("0: r0 = 0", "R1 invalid mem access 'scalar'"))
        for name, value in load.global_data.items():
            if found.variables.get(name) != len(value):
                raise InvalidSpec("global_data", f"{name} is no global of {len(value)} bytes")
        if load.map_owner is not None and self.owner_refusal is not None:
            raise self.owner_refusal
        if load.map_owner is not None and load.map_owner not in self.programs:
            raise InvalidSpec("map_owner_id", f"program {load.map_owner} is not loaded")
        return found

    def _maps_for(self, load: KernelLoad, found: FakeObject) -> dict[str, tuple[int, str]]:
        shared = {} if load.map_owner is None or self.pretends else self._maps[load.map_owner]
        maps = {}
        for name in found.maps:
            self._next_map += 1
            layout = found.layouts.get(name, "usual")
            maps[name] = shared.get(name, (self._next_map, layout))
            if maps[name][1] != layout:
                raise InvalidSpec("map_owner_id", f"map {name} is {maps[name][1]} there, the object wants {layout}")
        return maps

    def maps_of(self, program: ProgramId) -> Mapping[str, int]:
        """Ids of a program's maps by name; also of one that was unloaded."""
        return {name: id_ for name, (id_, _) in self._maps[program].items()}

    async def attach(self, program: ProgramId, type_: KernelType, link: Link, interface: str) -> LinkId:
        return await self._change("attach", lambda: self._attach(FakeLink(program, link, interface), type_))

    def _attach(self, link: FakeLink, type_: KernelType) -> LinkId:
        program = link.program
        if program not in self.programs:
            raise NotFound(f"program {program} does not exist")
        if type_ is not self.programs[program].type:
            raise InvalidSpec("attach", f"program {program} is no {type_}")
        if self.interfaces is not None and link.interface and link.interface not in self.interfaces:
            raise NotFound(f"no interface {link.interface}")
        if self.refused_netns and getattr(link.link, "netns", None) == self.refused_netns:
            raise NotFound(f"no interface {link.interface}")
        target = getattr(link.link, "name", "") or link.interface
        if target in self.refusals:
            raise self.refusals[target]
        if any(_same_place(link, other) for other in self.links.values()):
            raise AlreadyExists(f"program {program} is attached there: file exists")
        if isinstance(link.link, XdpLink) and any(_place(link) == _place(other) for other in self.links.values()):
            raise KernelRefused(f"another XDP program is attached to {link.interface}")
        if self.refused_objects.get(self._paths[program]) == "attach":
            raise KernelRefused(f"program {program} is refused there")
        id_ = LinkId(self._fresh())
        if not self.flickers:
            self.links[id_] = link
        return id_

    async def detach(self, link: LinkId) -> None:
        await self._change("detach", lambda: self._detach(link))

    def _detach(self, link: LinkId) -> None:
        if link not in self.links:
            raise NotFound(f"link {link} does not exist")
        del self.links[link]

    async def unload(self, program: ProgramId) -> None:
        await self._change("unload", lambda: self._unload(program))

    def _unload(self, program: ProgramId) -> None:
        if program not in self.programs:
            raise NotFound(f"program {program} does not exist")
        for link in self._links_of(program):
            del self.links[link]
        del self.programs[program]

    async def run_stats(self) -> Mapping[ProgramId, tuple[float, int]] | None:
        return self.runs if self._status.connected else None

    # --- faults -----------------------------------------------------------------------------------------------------

    async def _reach(self) -> None:
        await asyncio.sleep(0)
        if not self._status.connected:
            raise KernelAway(self._status.problem)

    async def _change(self, verb: str, work: Callable[[], T]) -> T:
        await self._reach()
        fault = self.faults.popleft() if self.faults else None
        if fault is Fault.UNSENT:
            raise KernelAway("refused before anything was sent")
        if verb in self.refusals:
            raise self.refusals[verb]
        if fault in (Fault.LOST_UNDONE, Fault.HANG_UNDONE):
            await self._lose(fault)
        before = set(self.links)
        try:
            result = work()
        except ConductorError as error:
            self.last_refusal = error
            raise
        if fault is Fault.LOST_WRITTEN and self.is_bpfman:
            self.ghosts |= self.links.keys() - before
        if fault in (Fault.LOST_DONE, Fault.HANG_DONE, Fault.LOST_WRITTEN):
            await self._lose(fault)
        return result

    async def _lose(self, fault: Fault) -> None:
        if fault in (Fault.HANG_DONE, Fault.HANG_UNDONE):
            await asyncio.Event().wait()
        raise AnswerLost("the answer never came")

    def _fresh(self) -> int:
        self._next_id += 1
        return self._next_id


def _same_place(one: FakeLink, other: FakeLink) -> bool:
    return one.program == other.program and _place(one) == _place(other)


def _place(link: FakeLink) -> tuple[object, ...]:
    """Where the kernel would say that a program sits; the selector that led there is no part of it."""
    match link.link:
        case XdpLink(netns=netns):
            return ("xdp", link.interface, netns)
        case TcLink(netns=netns, direction=direction) | TcxLink(netns=netns, direction=direction):
            return (type(link.link), link.interface, netns, direction)
        case _:
            return (link.link,)
