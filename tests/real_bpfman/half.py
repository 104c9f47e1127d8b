"""A kernel half over a real daemon, as an agent has it: records on disk, one owner, the daemon's pins."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from conductor.agent_parts import map_layouts
from conductor.bpf.maps import open_map
from conductor.managers.cluster_pods import LocalPods
from conductor.managers.kernel_containers import CgroupContainers
from conductor.managers.kernel_half import KernelHalf, KernelWish
from conductor.model.events import Event
from conductor.model.facts import Interface
from conductor.model.grants import Access, MapGrant
from conductor.model.ids import Name
from conductor.model.kernel import Bytecode, KernelProgramSpec, PathObject, TracepointLink
from conductor.model.program import Source
from conductor.ports import MapHandle
from tests.fakes.interfaces import FakeInterfaces
from tests.real_bpfman.bed import BOOT, ENTER, EXIT, SLOTS, Bed

__all__ = ["Node", "attached"]

LINKS = {"enter": ENTER, "exit": EXIT}


class Files:
    """Objects by path, digested anew each time they are asked for."""

    def path_of(self, bytecode: Bytecode) -> tuple[str, str]:
        assert isinstance(bytecode, PathObject)
        return bytecode.path, f"sha256:{sha256(Path(bytecode.path).read_bytes()).hexdigest()}"


@dataclass
class Node:
    """What survives an agent: its disk, the daemon, the kernel."""

    bed: Bed
    resync: float = 0.5
    pods: LocalPods | None = None
    """Of a cluster; None without one."""
    events: list[Event] = field(default_factory=list)

    @property
    def records(self) -> Path:
        return self.bed.folder / "links.json"

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[KernelHalf]:
        """One life of an agent's kernel half."""
        async with (
            asyncio.timeout(50),
            self.bed.road() as road,
            KernelHalf.running(
                kernel=road,
                open_map=self._open,
                objects=Files(),
                records=self.records,
                boot_id=BOOT,
                owner=self.bed.owner,
                interfaces=FakeInterfaces(Interface(index=1, name="lo", up=True)),
                containers=CgroupContainers(look_seconds=0.1),
                publish=self._publish,
                clock=time.time,
                layouts=map_layouts,
                pods=self.pods,
                resync=self.resync,
            ) as half,
        ):
            yield half

    async def _publish(self, event: Event) -> None:
        self.events.append(event)

    def _open(self, pin: Path, access: Access) -> MapHandle:
        return open_map(self.bed.daemon.place.seen(pin), access)

    def wish(
        self,
        name: str,
        *stems: str,
        path: Path | None = None,
        links: dict[str, TracepointLink] | None = None,
        **more: object,
    ) -> KernelWish:
        """Wish for these programs (default: `enter`), each at its tracepoint."""
        at = LINKS if links is None else links
        functions = tuple(self.bed.function(stem, *([at[stem]] if stem in at else [])) for stem in stems or ("enter",))
        spec = KernelProgramSpec(
            name=Name(name),
            bytecode=PathObject(path=str(path or self.bed.object)),
            programs=functions,
            **more,  # type: ignore[arg-type]
        )
        return KernelWish(spec=spec, source=Source.GRPC)

    def counted(self, half: KernelHalf, name: str, stem: str = "enter") -> int:
        """How much a kernel program counted, read as a user program would."""
        grant = MapGrant(name="counts", kernel_program=Name(name), map="counts", access=Access.READ)
        with half.open_map(grant) as counts:
            value = counts.lookup(SLOTS[stem].to_bytes(4, "little"))
        return 0 if value is None else int.from_bytes(value, "little")


def attached(half: KernelHalf) -> list[int]:
    """Program id of every link that the agent knows of, sorted: what bpftool should show."""
    return sorted(function.id for status in half.observed() for function in status.functions for _ in function.links)
