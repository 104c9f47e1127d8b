"""One test's bed: a daemon, objects whose programs carry a mark of their own, and our client before the daemon."""

from __future__ import annotations

import asyncio
import ctypes
import os
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from conductor.bpf.info import map_info
from conductor.bpf.maps import open_map
from conductor.bpf.pins import open_map_fd
from conductor.bpfman.flavour import Flavour
from conductor.bpfman.road import BpfmanRoad
from conductor.errors import KernelAway, MapMissing
from conductor.model.grants import Access
from conductor.model.kernel import KernelFunctionSpec, KernelType, TracepointLink
from conductor.ports import KernelLoad
from tests.conftest import CLANG, INCLUDES
from tests.real_bpfman.daemons import GoDaemon, OwnLoader, RealDaemon, RustDaemon
from tests.real_bpfman.eyes import Eyes, eventually
from tests.real_bpfman.place import Place

__all__ = ["BINARIES", "BOOT", "ENTER", "EXIT", "OWNER", "Bed", "made", "started"]

T = TypeVar("T")
BOOT = "11111111-2222-3333-4444-555555555555"
OWNER = "ebpfconductor.io/owner"
SOURCE = Path(__file__).parent.parent / "objects/real.bpf.c"
BINARIES = {Flavour.RUST: "CONDUCTOR_BPFMAN_RPC", Flavour.GO: "CONDUCTOR_GO_BPFMAN"}
"""Variables that name the daemons' binaries."""
ENTER, EXIT = (TracepointLink(name=f"syscalls/sys_{where}_getpgid") for where in ("enter", "exit"))
TYPES = {
    "enter": KernelType.TRACEPOINT,
    "exit": KernelType.TRACEPOINT,
    "bad": KernelType.TRACEPOINT,
    "tcx": KernelType.TCX,
    "tc": KernelType.TC,
    "uprobe": KernelType.UPROBE,
    "uret": KernelType.URETPROBE,
    "kprobe": KernelType.KPROBE,
    "kret": KernelType.KRETPROBE,
    "xdp": KernelType.XDP,
    "fentry": KernelType.FENTRY,
    "fexit": KernelType.FEXIT,
    "lsm": KernelType.LSM,
}
SLOTS = {"enter": 0, "exit": 1, "tcx": 2, "uprobe": 3, "uret": 4, "tc": 8, "xdp": 9}
"""Where in `counts` a program counts."""
TARGETS = {"fentry": "do_unlinkat", "fexit": "do_unlinkat", "lsm": "file_open"}
"""What is fixed when a program is loaded."""


@contextmanager
def started(flavour: Flavour, *, group: int = 0, socket_group: int = 0) -> Iterator[RealDaemon]:
    """Run a daemon in a place of its own; both end with the body."""
    with tempfile.TemporaryDirectory(prefix="real-bpfman-") as name, Place.held() as place:
        folder = Path(name)
        folder.chmod(0o755)
        daemon = _daemon(flavour, folder, place)
        daemon.group, daemon.socket_group = group, socket_group
        daemon.start()
        try:
            yield daemon
        finally:
            if daemon.process is not None:
                daemon.process.kill()
                daemon.process.wait(20)


def _daemon(flavour: Flavour, folder: Path, place: Place) -> RealDaemon:
    binary = Path(os.environ.get(BINARIES.get(flavour, ""), ""))
    match flavour:
        case Flavour.RUST:
            return RustDaemon(folder, place, binary=binary)
        case Flavour.GO:
            return GoDaemon(folder, place, binary=binary)
        case _:
            return OwnLoader(folder, place)


@dataclass
class Bed:
    """A daemon, and two versions of an object whose programs' names end in this bed's mark."""

    daemon: RealDaemon
    folder: Path
    mark: str
    owner: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def flavour(self) -> Flavour:
        return self.daemon.flavour

    @property
    def object(self) -> Path:
        """Counts by 1."""
        return self.folder / "v1.o"

    @property
    def newer(self) -> Path:
        """Counts by 100."""
        return self.folder / "v2.o"

    @property
    def target(self) -> Path:
        """A library with one function, `touched`."""
        return self.folder / "target.so"

    @property
    def eyes(self) -> Eyes:
        return Eyes(self.mark)

    def name(self, stem: str) -> str:
        return f"{stem}_{self.mark}"

    def function(self, stem: str, *links: TracepointLink) -> KernelFunctionSpec:
        attach_to = TARGETS.get(stem, "")
        return KernelFunctionSpec(name=self.name(stem), type=TYPES[stem], attach_to=attach_to, links=links)

    def load(self, *stems: str, **fields: Any) -> KernelLoad:
        """A Load of these programs, findable by its owner."""
        given: dict[str, Any] = {
            "path": str(self.object),
            "programs": tuple(self.function(stem) for stem in stems),
            "metadata": {OWNER: self.owner, "ebpfconductor.io/app": "conform"},
        }
        return KernelLoad(**{**given, **fields})

    def tell(self, story: Callable[[BpfmanRoad], Awaitable[T]]) -> T:
        """Run a story over the road."""

        async def whole() -> T:
            async with asyncio.timeout(45), self.road() as road:
                return await story(road)

        return asyncio.run(whole())

    @asynccontextmanager
    async def road(self) -> AsyncIterator[BpfmanRoad]:
        """Our client before this daemon."""
        async with BpfmanRoad.running(
            mode=self.daemon.mode,
            bpfman_socket=self.daemon.socket,
            loader_socket=self.daemon.socket if self.flavour is Flavour.LOADER else self.folder / "daemon.sock",
            state_dir=self.folder,
            boot_id=BOOT,
        ) as road:
            yield road

    def counted(self, pins: str, stem: str) -> int:
        """How much a program counted, read through its map's pin; 0 where it never did."""
        try:
            with open_map(self.daemon.place.seen(pins) / "counts", Access.READ) as counts:
                value = counts.lookup(SLOTS[stem].to_bytes(4, "little"))
        except MapMissing:
            return 0
        return 0 if value is None else int.from_bytes(value, "little")

    def map_id(self, pins: str) -> int:
        """Kernel id of the map `counts` that lies there."""
        with open_map_fd(self.daemon.place.seen(pins) / "counts", Access.READ) as counts:
            return map_info(counts.fileno()).id

    def touch(self) -> None:
        """Call the function that uprobes are attached to."""
        ctypes.CDLL(str(self.target)).touched()

    def sweep(self) -> None:
        """Unload what is left, and see that the kernel holds nothing more."""
        if self.daemon.process is None:
            self.daemon.start()

        async def unload(road: BpfmanRoad) -> None:
            for program in reversed(await patiently(lambda: road.loaded({OWNER: self.owner}))):
                await road.unload(program.id)

        self.tell(unload)
        eventually(self.eyes.programs, {})


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Ask a daemon that was just started, on a machine with other things to do, until it answers."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await call()
            except KernelAway:
                await asyncio.sleep(0.2)


def made(daemon: RealDaemon) -> Bed:
    """Build the objects of a fresh mark."""
    mark = uuid.uuid4().hex[:6]
    bed = Bed(daemon, daemon.folder / mark, mark)
    bed.folder.mkdir(mode=0o755)
    for path, step in ((bed.object, 1), (bed.newer, 100)):
        defines = (f"-DUNIQUE={mark}", f"-DSTEP={step}")
        subprocess.run([*CLANG, *INCLUDES, *defines, "-c", str(SOURCE), "-o", str(path)], check=True)
    source = bed.folder / "target.c"
    source.write_text('void touched(void) { __asm__ volatile(""); }\n')
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", str(bed.target), str(source)], check=True)
    return bed
