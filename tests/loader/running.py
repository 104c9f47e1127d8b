"""The real daemon as a child process, on a bpffs of its own, and clients of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from grpclib.client import Channel

from conductor.proto.bpfman import v1 as pb
from conductor.proto.conductor.loader import v1 as own

T = TypeVar("T")
GROUP = 65532
PROGRAM = """
import asyncio, json, logging, os, sys
from pathlib import Path
from conductor.loader.daemon import serve
logging.basicConfig(level="INFO")
given = json.loads(sys.argv[1])
named = {"socket", "bpffs", "state_dir", "cache_dir", "registries", "image_policy"}
paths = {key: Path(given.pop(key)) for key in named & given.keys()}
asyncio.run(serve(**paths, **given, ready=lambda: os.write(int(sys.argv[2]), b"!")))
"""


@dataclass
class Daemon:
    """One daemon's place, and the process in it while there is one."""

    folder: Path
    bpffs: Path
    options: dict[str, object] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self.folder / "loader.sock"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def records(self) -> list[Path]:
        return sorted(self.state.glob("*.json"))

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def command(self, ready: int, **options: object) -> list[str]:
        given = {
            "socket": str(self.socket),
            "bpffs": str(self.bpffs),
            "state_dir": str(self.state),
            "cache_dir": str(self.folder / "cache"),
            "group": GROUP,
            **self.options,
            **options,
        }
        return [sys.executable, "-c", PROGRAM, json.dumps(given), str(ready)]

    def start(self, **options: object) -> None:
        hear, tell = os.pipe()
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command(tell, **options), stderr=log, stdout=log, pass_fds=[tell])
        os.close(tell)
        with os.fdopen(hear, "rb") as pipe:
            assert pipe.read(1) == b"!", self.log

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(20)
        self.process = None
        return code

    def restart(self, number: int = signal.SIGKILL) -> None:
        self.end(number)
        self.start()

    def pins(self) -> set[str]:
        """Files and directories below ours; an empty daemon has none."""
        kinds = ("programs", "links", "maps", "shared")
        return {str(p.relative_to(self.bpffs)) for kind in kinds for p in (self.bpffs / kind).rglob("*")}

    def ask(self, work: Callable[[Client], Awaitable[T]]) -> T:
        """Run a conversation with the daemon."""

        async def talk() -> T:
            async with asyncio.timeout(30), connected(self.socket) as client:
                return await work(client)

        return asyncio.run(talk())


@dataclass(frozen=True)
class Client:
    """Both services over one channel, and the short forms that tests use."""

    channel: Channel

    @property
    def bpfman(self) -> pb.BpfmanStub:
        return pb.BpfmanStub(self.channel)

    @property
    def stats(self) -> own.StatsStub:
        return own.StatsStub(self.channel)

    async def load(self, path: Path | str, *programs: tuple[str, int], **fields: Any) -> list[pb.LoadResponseInfo]:
        request = pb.LoadRequest(
            bytecode=pb.BytecodeLocation(file=str(path)),
            info=[pb.LoadInfo(name=name, program_type=pb.BpfmanProgramType(type_)) for name, type_ in programs],
            **fields,
        )
        return (await self.bpfman.load(request)).programs

    async def attach(self, id_: int, **info: Any) -> int:
        request = pb.AttachRequest(id=id_, attach=pb.AttachInfo(**info))
        return (await self.bpfman.attach(request)).link_id

    async def tracepoint(self, id_: int, name: str = "raw_syscalls/sys_enter") -> int:
        return await self.attach(id_, tracepoint_attach_info=pb.TracepointAttachInfo(tracepoint=name))

    async def get(self, id_: int) -> pb.GetResponse:
        return await self.bpfman.get(pb.GetRequest(id=id_))

    async def info(self, id_: int) -> pb.ProgramInfo:
        """What the daemon keeps of a program."""
        info = (await self.get(id_)).info
        assert info is not None
        return info

    async def list(self, **fields: Any) -> list[pb.ListResult]:
        return (await self.bpfman.list(pb.ListRequest(**fields))).results

    async def unload(self, *ids: int) -> None:
        for id_ in ids:
            await self.bpfman.unload(pb.UnloadRequest(id=id_))

    async def runs(self, id_: int) -> int:
        """How often a program ran."""
        (run,) = (await self.stats.programs(own.ProgramsRequest(ids=[id_]))).programs
        return run.run_count


@asynccontextmanager
async def connected(socket: Path) -> AsyncIterator[Client]:
    channel = Channel(path=str(socket))
    try:
        yield Client(channel)
    finally:
        channel.close()
