"""Calls whose connection ends at the worst moments."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from grpclib.protocol import H2Protocol
from typing_extensions import override

from conductor.bpfman.call import Method, exchange
from conductor.bpfman.channel import OneConnection
from conductor.errors import KernelAway
from conductor.proto.bpfman.v1 import UnloadRequest, UnloadResponse

UNLOAD = Method("/bpfman.v1.Bpfman/Unload", UnloadResponse, 5.0, changes=True)


class Ending(OneConnection):
    """A connection that ends between being made and being used, as when the daemon is killed just then."""

    @override
    async def _create_connection(self) -> H2Protocol:
        protocol = await super()._create_connection()
        protocol.connection_lost(None)
        return protocol


def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


def test_a_connection_that_ends_before_it_is_used_sent_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with await asyncio.start_unix_server(hang_up, tmp_path / "s.sock"):
            channel = Ending(socket=tmp_path / "s.sock")
            with pytest.raises(KernelAway) as away:
                await exchange(channel, UNLOAD, UnloadRequest(id=1))
            assert type(away.value) is KernelAway  # not AnswerLost: it may be repeated
            assert channel.ended.is_set()
            channel.close()

    asyncio.run(story())
