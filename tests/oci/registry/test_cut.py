"""The way to a registry is cut: at every tenth of a blob, down and up; what arrives is whole or nothing."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from conductor.errors import RegistryAway
from tests.fakes.registry import digest_of
from tests.oci.asking import QUICK, Bucket, client_of, described
from tests.oci.registry.houses import House

SIZE = 2_000_000
PATIENT = dataclasses.replace(QUICK, chunk=400_000)


class Way:
    """A TCP relay that cuts connections once so many bytes went through one side of it; TLS stays as it is."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.cuts: list[tuple[str, int]] = []
        """Of the connections to come that carry so much: `down` or `up`, and bytes."""
        self.address = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[House]:
        """Relay from a port of its own; answers the registry as seen from there."""
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        async with server:
            self.address = "{}:{}".format(*server.sockets[0].getsockname())
            ca = self._house.authority.ca if self._house.authority else None
            text = f'{self._house.text}[registry."{self.address}"]\n' + (f'ca = "{ca}"\n' if ca else "")
            yield dataclasses.replace(self._house, address=self.address, text=text)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = self._house.address.split(":")
        inner, outer = await asyncio.open_connection(host, int(port))
        with suppress(ConnectionError):
            async with asyncio.TaskGroup() as group:
                group.create_task(self._copy("up", reader, outer, writer), name="up")
                group.create_task(self._copy("down", inner, writer, outer), name="down")

    async def _copy(
        self, side: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        done = 0
        with suppress(ConnectionError):
            while piece := await reader.read(1 << 14):
                done += len(piece)
                if self.cuts and self.cuts[0][0] == side and done >= self.cuts[0][1]:
                    self.cuts.pop(0)
                    writer.transport.abort()
                    back.transport.abort()
                    return
                writer.write(piece)
                await writer.drain()
        writer.close()


def test_a_blob_cut_at_every_tenth_comes_whole(house: House) -> None:
    async def story() -> None:
        content = secrets.token_bytes(SIZE)
        way = Way(house)
        async with way.open() as there, client_of(there.text, PATIENT) as client:
            ref = there.reference(f"cut/{secrets.token_hex(6)}:v1")
            await client.push_blob(ref, content, credentials=there.credentials)
            for tenth in range(10):
                way.cuts = [("down", max(1, SIZE * tenth // 10))]
                bucket = Bucket()
                await client.blob(ref, described(content), bucket, credentials=there.credentials)
                assert bucket.body == content
                assert way.cuts == []

    asyncio.run(story())


def test_a_way_that_is_cut_for_ever_is_given_up(house: House) -> None:
    async def story() -> None:
        way = Way(house)
        async with way.open() as there, client_of(there.text) as client:
            ref = there.reference(f"cut/{secrets.token_hex(6)}:v1")
            await client.push_blob(ref, b"x" * 1000, credentials=there.credentials)
            way.cuts = [("down", 1)] * 99
        async with way.open() as there, client_of(there.text) as client:
            with pytest.raises(RegistryAway):
                await client.blob(
                    there.reference("cut/x"), described(b"x" * 1000), Bucket(), credentials=there.credentials
                )

    asyncio.run(story())


def test_a_push_cut_at_every_tenth_is_whole_or_nothing(house: House) -> None:
    async def story() -> None:
        way = Way(house)
        async with way.open() as there, client_of(there.text, PATIENT) as client:
            ref = there.reference(f"cut/{secrets.token_hex(6)}:v1")
            for tenth in range(1, 10):
                content = secrets.token_bytes(SIZE)
                way.cuts = [("up", SIZE * tenth // 10)]
                await client.push_blob(ref, content, credentials=there.credentials)
                assert way.cuts == []
                bucket = Bucket()
                await client.blob(ref, described(content), bucket, credentials=there.credentials)
                assert digest_of(bytes(bucket.body)) == digest_of(content)

    asyncio.run(story())
