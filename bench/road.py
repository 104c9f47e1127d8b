"""The road to the kernel: our client against a minimal grpcio client, our loader against real bpfman daemons.

The daemons are those of the conformance suite: `conductor loader` always, the Rust and the Go daemon where
CONDUCTOR_BPFMAN_RPC and CONDUCTOR_GO_BPFMAN name them. All calls to compare daemons go through the same grpcio client.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import grpc  # type: ignore[import-untyped]

from bench.table import Row, show
from conductor.bpfman.flavour import Flavour
from conductor.model.kernel import KernelType
from conductor.proto.bpfman import v1 as pb
from tests.real_bpfman.bed import BINARIES, ENTER, OWNER, Bed, made, started

ROUNDS = 30
COLD_ROUNDS = 5
HELD = 10
"""Programs that are loaded while Get and List are measured."""
TARGETS = {
    "Load, warm": (Flavour.RUST, 1.0),
    "Attach": (Flavour.RUST, 1.0),
    "Unload": (Flavour.RUST, 1.0),
    "Get": (Flavour.GO, 2.0),
    "List": (Flavour.GO, 2.0),
}
NAMES = {Flavour.RUST: "bpfman 0.6.0, Rust", Flavour.GO: "bpfman, Go"}
Seconds = dict[str, list[float]]


def measure() -> list[Row]:
    """Measure what is there; a daemon that is not is named in the note."""
    there = [
        flavour
        for flavour in (Flavour.LOADER, *BINARIES)
        if flavour is Flavour.LOADER or os.environ.get(BINARIES.get(flavour, ""))
    ]
    return [*(against_grpcio(flavour) for flavour in there), *against_daemons(there)]


# --- our client -------------------------------------------------------------------------------------------------------


def against_grpcio(flavour: Flavour) -> Row:
    """Load and Attach of one tracepoint program, by turns; Unload is not timed."""
    with bedded(flavour) as bed, Minimal.connected(bed) as rival:
        ours, theirs = asyncio.run(_by_turns(bed, rival))
    name = f"Load and Attach through our client ({NAMES.get(flavour, 'conductor loader')})"
    return Row(name=name, ours=median(ours) * 1e3, rival=median(theirs) * 1e3, who="grpcio, bare")


async def _by_turns(bed: Bed, rival: Minimal) -> tuple[list[float], list[float]]:
    ours: list[float] = []
    theirs: list[float] = []
    async with bed.road() as road:
        await road.loaded({OWNER: bed.owner})
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            (program,) = await road.load(bed.load("enter"))
            await road.attach(program.id, KernelType.TRACEPOINT, ENTER, "")
            ours.append(time.perf_counter() - begin)
            await road.unload(program.id)
            begin = time.perf_counter()
            id_ = rival.load()
            rival.attach(id_)
            theirs.append(time.perf_counter() - begin)
            rival.unload(id_)
    return ours[2:], theirs[2:]


# --- the daemons ------------------------------------------------------------------------------------------------------


def against_daemons(flavours: list[Flavour]) -> list[Row]:
    """Each call at each daemon in one run, by turns."""
    taken: dict[Flavour, Seconds] = {flavour: {} for flavour in flavours}
    for _ in range(COLD_ROUNDS):
        for flavour in flavours:
            with bedded(flavour) as bed, Minimal.connected(bed) as client:
                note(taken[flavour], "Load, cold", client.load)
    with ExitStack() as stack:
        clients = {}
        for flavour in flavours:
            bed = stack.enter_context(bedded(flavour))
            clients[flavour] = stack.enter_context(Minimal.connected(bed))
            for _ in range(HELD):
                clients[flavour].load()
        for _ in range(ROUNDS):
            for flavour, client in clients.items():
                one_round(client, taken[flavour])
    return [row for call in ("Load, cold", *TARGETS) for row in rows_of(call, taken)]


def one_round(client: Minimal, seconds: Seconds) -> None:
    id_ = note(seconds, "Load, warm", client.load)
    note(seconds, "Attach", lambda: client.attach(id_))
    note(seconds, "Get", lambda: client.get(id_))
    note(seconds, "List", client.list)
    client.detach()
    note(seconds, "Unload", lambda: client.unload(id_))


def rows_of(call: str, taken: dict[Flavour, Seconds]) -> Iterator[Row]:
    ours = median(taken[Flavour.LOADER][call]) * 1e3
    judged, most = TARGETS.get(call, (None, None))
    rivals = [flavour for flavour in taken if flavour is not Flavour.LOADER]
    for flavour in rivals:
        yield Row(
            name=f"{call}: conductor loader",
            ours=ours,
            rival=median(taken[flavour][call]) * 1e3,
            who=NAMES[flavour],
            most=most if flavour is judged else None,
        )
    if judged is not None and judged not in rivals:
        yield Row(name=f"{call}: conductor loader", ours=ours, note=f"{NAMES[judged]}: not given ({BINARIES[judged]})")


def note(seconds: Seconds, call: str, work: Callable[[], Any]) -> Any:
    begin = time.perf_counter()
    result = work()
    seconds.setdefault(call, []).append(time.perf_counter() - begin)
    return result


@contextmanager
def bedded(flavour: Flavour) -> Iterator[Bed]:
    with started(flavour) as daemon:
        yield made(daemon)


@dataclass
class Minimal:
    """As little of a client as there can be: one channel, one message in, one out."""

    bed: Bed
    channel: grpc.Channel
    link: int = 0
    calls: dict[str, Any] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def connected(cls, bed: Bed) -> Iterator[Minimal]:
        # The Rust daemon refuses grpcio's own :authority for Unix sockets.
        options = (("grpc.default_authority", "localhost"),)
        with grpc.insecure_channel(f"unix:{bed.daemon.socket}", options=options) as channel:
            yield cls(bed, channel)

    def call(self, name: str, request: Any, reply: Any) -> Any:
        if name not in self.calls:
            self.calls[name] = self.channel.unary_unary(
                f"/bpfman.v1.Bpfman/{name}", request_serializer=bytes, response_deserializer=reply.FromString
            )
        return self.calls[name](request, timeout=60)

    def load(self) -> int:
        request = pb.LoadRequest(
            bytecode=pb.BytecodeLocation(file=str(self.bed.object)),
            metadata={OWNER: self.bed.owner},
            info=[pb.LoadInfo(name=self.bed.name("enter"), program_type=pb.BpfmanProgramType(2))],
        )
        answer: pb.LoadResponse = self.call("Load", request, pb.LoadResponse)
        return answer.programs[0].kernel_info.id

    def attach(self, id_: int) -> None:
        info = pb.AttachInfo(tracepoint_attach_info=pb.TracepointAttachInfo(tracepoint=ENTER.name))
        self.link = self.call("Attach", pb.AttachRequest(id=id_, attach=info), pb.AttachResponse).link_id

    def detach(self) -> None:
        self.call("Detach", pb.DetachRequest(link_id=self.link), pb.DetachResponse)

    def get(self, id_: int) -> None:
        self.call("Get", pb.GetRequest(id=id_), pb.GetResponse)

    def list(self) -> None:
        request = pb.ListRequest(bpfman_programs_only=True, match_metadata={OWNER: self.bed.owner})
        self.call("List", request, pb.ListResponse)

    def unload(self, id_: int) -> None:
        self.call("Unload", pb.UnloadRequest(id=id_), pb.UnloadResponse)


if __name__ == "__main__":
    show(measure())
