"""RPCs that stream: Watch, Logs, Upload."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import cast

from typing_extensions import override

from conductor.api import wire
from conductor.api.parts import Logs, Objects, Programs
from conductor.api.watch import Selection, Watchers
from conductor.model.agent import LogLine
from conductor.model.ids import parse_name
from conductor.proto.agent import v1 as pb

__all__ = ["StreamCalls"]


class StreamCalls(pb.AgentBase):
    """Watch, Logs, Upload."""

    _programs: Programs
    _logs: Logs
    _objects: Objects
    _watchers: Watchers

    @override
    async def watch(self, watch_request: pb.WatchRequest) -> AsyncIterator[pb.WatchEvent]:
        selection = Selection(
            name=parse_name(watch_request.name) if watch_request.name else "",
            metadata=wire.labels_from_wire(watch_request.match_metadata, "match_metadata"),
            pulls=watch_request.pulls,
        )
        with self._watchers.watching(selection) as events:
            async for event in events:
                yield wire.watch_event_to_wire(event)

    @override
    async def logs(self, logs_request: pb.LogsRequest) -> AsyncIterator[pb.LogLine]:
        name = self._programs.get(parse_name(logs_request.name)).name
        for line in self._logs.tail(name, min(logs_request.tail, 1 << 31)):
            yield wire.log_line_to_wire(line)
        if logs_request.follow:
            following = cast("AsyncGenerator[LogLine, None]", self._logs.follow(name))
            async with aclosing(following) as lines:
                async for line in lines:
                    yield wire.log_line_to_wire(line)

    @override
    async def upload(self, upload_chunk_iterator: AsyncIterator[pb.UploadChunk]) -> pb.UploadResponse:
        return pb.UploadResponse(digest=await self._objects.keep(chunk.data async for chunk in upload_chunk_iterator))
