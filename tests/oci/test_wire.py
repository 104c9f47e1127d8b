from __future__ import annotations

import asyncio
import base64
import gc
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from conductor.errors import InvalidConfig, RegistryAway, StoreFull
from conductor.model.image import Credentials, Reference
from tests.fakes.registry import FakeRegistry
from tests.oci.asking import BLOB, OCI_MANIFEST, client_of, described, manifest_body, reference
from tests.oci.authority import Authority, made

BOB = Credentials("bob", "hunter2")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return made(tmp_path_factory.mktemp("authority"))


@asynccontextmanager
async def sealed(authority: Authority) -> AsyncIterator[FakeRegistry]:
    wishes: dict[str, Any] = {"users": {"bob": "hunter2"}, "tokens": True}
    async with FakeRegistry.serving(tls=authority.server(), **wishes) as registry:
        registry.put_manifest("team/tool", "v1", manifest_body(), OCI_MANIFEST)
        yield registry


def test_a_private_authority_is_trusted_for_the_host_that_names_it(authority: Authority) -> None:
    async def story() -> None:
        async with sealed(authority) as registry, client_of(_text(registry, authority)) as client:
            found = await client.manifest(reference(registry), credentials=BOB)
            assert found.body == manifest_body()

    asyncio.run(story())


def test_an_unknown_authority_is_refused_with_what_helps(authority: Authority) -> None:
    async def story() -> None:
        async with sealed(authority) as registry:
            async with client_of(f'[registry."{registry.address}"]\nplain_http = false\n') as client:
                with pytest.raises(RegistryAway, match="`ca` in the registries file"):
                    await client.manifest(reference(registry), credentials=BOB)
            assert not registry.seen

    asyncio.run(story())


def test_a_registry_with_tls_is_no_registry_without(authority: Authority) -> None:
    async def story() -> None:
        async with sealed(authority) as registry, client_of() as client:
            with pytest.raises(RegistryAway):
                await client.manifest(reference(registry), credentials=BOB)
            assert not registry.seen

    asyncio.run(story())


@contextmanager
def mute(authority: Authority) -> Iterator[str]:
    """A server with TLS that begins an answer and then does nothing, not even close; answers HOST:PORT."""
    over = threading.Event()

    def serve(listener: socket.socket) -> None:
        with listener.accept()[0] as plain, authority.server().wrap_socket(plain, server_side=True) as there:
            there.recv(1 << 16)
            there.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nbeginning")
            over.wait(10)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), name="mute")
        thread.start()
        try:
            yield "{}:{}".format(*listener.getsockname())
        finally:
            over.set()
            thread.join()


def test_a_connection_with_tls_is_gone_with_its_client(authority: Authority) -> None:
    def full(_piece: bytes) -> None:
        raise StoreFull("no room")

    async def story(address: str) -> None:
        async with client_of(f'[registry."{address}"]\nca = "{authority.ca}"\n') as client:
            with pytest.raises(StoreFull):
                await client.blob(Reference.parse(f"{address}/team/tool"), described(BLOB), full)

    with mute(authority) as address:
        asyncio.run(story(address))
        gc.collect()  # what is left open is told now, and warnings are errors


def test_every_file_that_cannot_be_used_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    text = f"""
        auth = "{tmp_path}/none.json"
        [registry."a.example"]
        ca = "{tmp_path}/none.pem"
        [registry."b.example"]
        ca = "{tmp_path}/empty.pem"
    """

    async def story() -> None:
        async with client_of(text):
            raise AssertionError("opened")

    with pytest.raises(InvalidConfig) as caught:
        asyncio.run(story())
    places = [place for place, _ in caught.value.problems]
    assert places == ["auth", 'registry."a.example".ca', 'registry."b.example".ca']


class Proxy:
    """An HTTP proxy that wants a password: tunnels by CONNECT, and whole addresses without TLS."""

    def __init__(self) -> None:
        self.address = ""
        self.lines: list[str] = []
        self.shown: list[str] = []

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Proxy]:
        server = await asyncio.start_server(self._client, "127.0.0.1", 0)
        async with server:
            self.address = "{}:{}".format(*server.sockets[0].getsockname())
            yield self

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            line, _, rest = head.decode().partition("\r\n")
            self.lines.append(line)
            self.shown += [part for part in rest.split("\r\n") if part.lower().startswith("proxy-authorization")]
            method, target, _ = line.split()
            host, port = target.removeprefix("http://").partition("/")[0].split(":")
            inner, outer = await asyncio.open_connection(host, int(port))
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                outer.write(head.replace(f"http://{host}:{port}".encode(), b"", 1))
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, outer), name="out")
                group.create_task(_copy(inner, writer), name="in")
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(1 << 16):
            writer.write(piece)
            await writer.drain()
        writer.close()


@pytest.mark.parametrize("tls", [False, True])
def test_a_registry_is_reached_through_its_proxy(authority: Authority, *, tls: bool) -> None:
    async def story() -> None:
        async with Proxy().serving() as proxy, FakeRegistry.serving(tls=authority.server() if tls else None) as there:
            there.put_manifest("team/tool", "v1", manifest_body(), OCI_MANIFEST)
            text = _text(there, authority) if tls else f'[registry."{there.address}"]\n'
            async with client_of(f'{text}proxy = "http://carol:pr0xy@{proxy.address}"\n') as client:
                assert (await client.manifest(reference(there))).body == manifest_body()
            verb = f"CONNECT {there.address}" if tls else f"GET http://{there.address}/v2/team/tool/manifests/v1"
            assert proxy.lines[0].startswith(verb)
            assert proxy.shown[0].endswith(base64.b64encode(b"carol:pr0xy").decode())

    asyncio.run(story())


def test_a_proxy_that_is_away_is_told_apart_from_the_registry() -> None:
    async def story() -> None:
        async with FakeRegistry.serving() as registry:
            text = f'[registry."{registry.address}"]\nproxy = "http://carol:pr0xy@127.0.0.1:1"\n'
            async with client_of(text) as client:
                with pytest.raises(RegistryAway, match="its proxy cannot be reached") as caught:
                    await client.manifest(reference(registry))
                assert "pr0xy" not in str(caught.value)

    asyncio.run(story())


def _text(registry: FakeRegistry, authority: Authority) -> str:
    return f'[registry."{registry.address}"]\nca = "{authority.ca}"\n'
