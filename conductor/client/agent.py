"""The agent as an object: one method per RPC."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from typing_extensions import Unpack

from conductor.api.wire import (
    available_from_wire,
    change_from_wire,
    image_status_from_wire,
    info_from_wire,
    kernel_from_wire,
    log_line_from_wire,
    status_from_wire,
    usage_from_wire,
    watch_event_from_wire,
)
from conductor.client.channel import AgentChannel
from conductor.client.refusals import of_module
from conductor.client.requests import Wish, image_request, load_request
from conductor.client.upload import chunks_of
from conductor.model.agent import AgentInfo, Available, Change, KernelInfo, LogLine, Usage, WatchEvent
from conductor.model.image import ImageStatus
from conductor.model.kernel import PullPolicy
from conductor.model.program import ProgramType
from conductor.model.status import ProgramStatus
from conductor.proto.agent import v1 as pb

__all__ = ["DEFAULT_SOCKET", "Agent"]

DEFAULT_SOCKET = Path("/run/ebpfconductor/agent.sock")
UPLOAD_SECONDS = 300.0

R = TypeVar("R")


class Agent:
    """An agent on this machine. Every method raises `ConductorError`s alone; times are in seconds."""

    def __init__(self, *, channel: AgentChannel, timeout: float) -> None:
        self._channel, self._timeout = channel, timeout

    @classmethod
    @asynccontextmanager
    async def connect(cls, socket: Path | str | None = None, *, timeout: float = 30.0) -> AsyncIterator[Self]:
        """Connect to the agent at `socket` (default: $CONDUCTOR_AGENT_SOCKET, else /run/ebpfconductor/agent.sock).

        `timeout` is the deadline of each call that brings none of its own. Raises `AgentUnreachable`, `NotAllowed`.
        """
        path = Path(socket or os.environ.get("CONDUCTOR_AGENT_SOCKET") or DEFAULT_SOCKET)
        channel = AgentChannel(socket=path)
        try:
            await channel.connect()
            yield cls(channel=channel, timeout=timeout)
        finally:
            channel.close()

    async def load(self, name: str, *, timeout: float | None = None, **wish: Unpack[Wish]) -> ProgramStatus:
        """Load a program and answer at Running, Waiting or Failed.

        A built-in unless `wasm` is given; `Wish` says what else can be. Raises `AlreadyExists`, `InvalidSpec`.
        """
        sent = await self._uploaded(wish)
        request = load_request(name, sent)
        with of_module(wish.get("wasm"), sent.get("wasm")):
            reply = await self._ask("Load", request, pb.LoadResponse, timeout)
        return status_from_wire(reply.info)

    async def update(
        self,
        name: str,
        *,
        overlap: bool = True,
        rollback: bool = True,
        timeout: float | None = None,
        **wish: Unpack[Wish],
    ) -> ProgramStatus:
        """Replace a program by another version of it; the arguments are its whole new spec, as for `load`."""
        sent = await self._uploaded(wish)
        program = load_request(name, sent)
        strategy = pb.UpdateStrategy(type="Overlap" if overlap else "Recreate", no_rollback=not rollback)
        request = pb.UpdateRequest(program=program, strategy=strategy)
        with of_module(wish.get("wasm"), sent.get("wasm")):
            reply = await self._ask("Update", request, pb.UpdateResponse, timeout)
        return status_from_wire(reply.info)

    async def unload(self, name: str, *, timeout: float | None = None) -> None:
        """Unload a program, both halves. Raises `NotFound`, `SourceHolds`."""
        await self._ask("Unload", pb.UnloadRequest(name=name), pb.UnloadResponse, timeout)

    async def get(self, name: str, *, timeout: float | None = None) -> ProgramStatus:
        """Tell one program. Raises `NotFound`."""
        reply = await self._ask("Get", pb.GetRequest(name=name), pb.GetResponse, timeout)
        return status_from_wire(reply.info or pb.ProgramInfo())

    async def list(
        self,
        type_: ProgramType | None = None,
        *,
        metadata: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> tuple[ProgramStatus, ...]:
        """List programs, all or those of one type and with these metadata."""
        kind = None if type_ is None else int(type_)
        request = pb.ListRequest(program_type=kind, match_metadata=dict(metadata or {}))
        reply = await self._ask("List", request, pb.ListResponse, timeout)
        return tuple(status_from_wire(result.info) for result in reply.results if result.info is not None)

    async def start(self, name: str, *, timeout: float | None = None) -> ProgramStatus:
        """Run a stopped or quarantined program again."""
        return await self._named("Start", name, timeout)

    async def stop(self, name: str, *, timeout: float | None = None) -> ProgramStatus:
        """End a program's user half and keep the wish."""
        return await self._named("Stop", name, timeout)

    async def restart(self, name: str, *, timeout: float | None = None) -> ProgramStatus:
        """End a program's user half and open it anew."""
        return await self._named("Restart", name, timeout)

    async def watch(
        self,
        name: str = "",
        *,
        metadata: Mapping[str, str] | None = None,
        pulls: bool = False,
        timeout: float | None = None,
    ) -> AsyncGenerator[WatchEvent, None]:
        """Tell the present as ADDED, then SYNCED, then every change; for ever, or until `timeout`.

        With `pulls` the progress of image pulls is told too, as PULLING.

        Who leaves early uses `contextlib.aclosing`: the call then ends at once.
        """
        request = pb.WatchRequest(name=name, match_metadata=dict(metadata or {}), pulls=pulls)
        async with aclosing(self._channel.server_stream("Watch", request, pb.WatchEvent, timeout)) as events:
            async for event in events:
                yield watch_event_from_wire(event)

    async def logs(
        self, name: str, *, follow: bool = False, tail: int = 0, timeout: float | None = None
    ) -> AsyncGenerator[LogLine, None]:
        """Tell the last `tail` lines of a program (0: all that are kept), and go on with `follow`."""
        request = pb.LogsRequest(name=name, follow=follow, tail=tail)
        deadline = timeout if follow or timeout is not None else self._timeout
        async with aclosing(self._channel.server_stream("Logs", request, pb.LogLine, deadline)) as lines:
            async for line in lines:
                yield log_line_from_wire(line)

    async def usage(self, name: str = "", *, timeout: float | None = None) -> Usage:
        """Tell what programs cost, all or one."""
        return usage_from_wire(await self._ask("Usage", pb.UsageRequest(name=name), pb.UsageResponse, timeout))

    async def info(self, *, timeout: float | None = None) -> AgentInfo:
        """Tell the agent's own state."""
        return info_from_wire(await self._ask("Info", pb.InfoRequest(), pb.InfoResponse, timeout))

    async def apply(self, manifest: str, *, dry_run: bool = False, timeout: float | None = None) -> tuple[Change, ...]:
        """Apply YAML documents, all or none. Raises `InvalidSpec` with the line."""
        request = pb.ApplyRequest(manifest=manifest, dry_run=dry_run)
        return _changes(await self._ask("Apply", request, pb.ApplyResponse, timeout))

    async def delete(self, manifest: str, *, dry_run: bool = False, timeout: float | None = None) -> tuple[Change, ...]:
        """Delete what YAML documents name."""
        request = pb.DeleteRequest(manifest=manifest, dry_run=dry_run)
        return _changes(await self._ask("Delete", request, pb.ApplyResponse, timeout))

    async def list_kernel(self, *, timeout: float | None = None) -> tuple[KernelInfo, ...]:
        """List kernel programs."""
        reply = await self._ask("ListKernel", pb.ListKernelRequest(), pb.ListKernelResponse, timeout)
        return tuple(kernel_from_wire(program) for program in reply.programs)

    async def get_kernel(self, name: str, *, timeout: float | None = None) -> KernelInfo:
        """Tell one kernel program. Raises `NotFound`."""
        reply = await self._ask("GetKernel", pb.NameRequest(name=name), pb.KernelResponse, timeout)
        return kernel_from_wire(reply.info)

    async def kernel_log(self, name: str, *, timeout: float | None = None) -> tuple[str, ...]:
        """Tell what the verifier or the daemon said of a kernel program."""
        reply = await self._ask("KernelLog", pb.NameRequest(name=name), pb.KernelLogResponse, timeout)
        return tuple(reply.lines)

    async def list_available(self, *, timeout: float | None = None) -> tuple[Available, ...]:
        """List what could be loaded."""
        reply = await self._ask("ListAvailable", pb.ListAvailableRequest(), pb.ListAvailableResponse, timeout)
        return tuple(available_from_wire(program) for program in reply.programs)

    async def pull(
        self,
        image: str,
        *,
        pull_policy: PullPolicy = PullPolicy.IF_NOT_PRESENT,
        credentials: tuple[str, str] | None = None,
        timeout: float = UPLOAD_SECONDS,
    ) -> None:
        """Fetch and verify an image before it is needed.

        Raises `ImageNotFound`, `ImageUnusable`, `ImageUntrusted`, `RegistryAway`, `RegistryRefused`, `StoreFull`.
        """
        request = pb.PullBytecodeRequest(image=image_request(image, pull_policy, credentials))
        await self._ask("PullBytecode", request, pb.PullBytecodeResponse, timeout)

    async def images(self, *, timeout: float | None = None) -> tuple[ImageStatus, ...]:
        """List the images that this node holds."""
        reply = await self._ask("ListImages", pb.ListImagesRequest(), pb.ListImagesResponse, timeout)
        return tuple(image_status_from_wire(image) for image in reply.images)

    async def prune_images(self, *, timeout: float | None = None) -> tuple[ImageStatus, ...]:
        """Remove the images that no wish names; answer what went."""
        reply = await self._ask("PruneImages", pb.PruneImagesRequest(), pb.PruneImagesResponse, timeout)
        return tuple(image_status_from_wire(image) for image in reply.images)

    async def upload(self, source: Path | bytes | AsyncIterable[bytes], *, timeout: float = UPLOAD_SECONDS) -> str:
        """Send a file that the agent may not be able to read; answer the digest to load it by."""
        chunks = (pb.UploadChunk(data=data) async for data in chunks_of(source))
        reply = await self._channel.client_stream("Upload", chunks, pb.UploadChunk, pb.UploadResponse, timeout)
        return reply.digest

    async def _uploaded(self, wish: Wish) -> Wish:
        wasm = wish.get("wasm")
        return {**wish, "wasm": await self.upload(wasm)} if isinstance(wasm, Path) else wish

    async def _named(self, method: str, name: str, timeout: float | None) -> ProgramStatus:
        reply = await self._ask(method, pb.NameRequest(name=name), pb.ProgramResponse, timeout)
        return status_from_wire(reply.info)

    async def _ask(self, method: str, request: Any, reply: type[R], timeout: float | None) -> R:
        return await self._channel.unary(method, request, reply, self._timeout if timeout is None else timeout)


def _changes(reply: pb.ApplyResponse) -> tuple[Change, ...]:
    return tuple(change_from_wire(result) for result in reply.results)
