"""The registries that the contract suite runs against: the fake, and real ones as processes of their own."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from _pytest.mark import ParameterSet

from conductor.model.image import Credentials, Reference
from tests.fakes.registry import FakeRegistry
from tests.oci.authority import Authority, made
from tests.oci.registry.token_server import ISSUER, SERVICE, TokenServer

__all__ = ["HOUSES", "PRIVATE", "SEALED", "SEALED_SITES", "House", "docker_registry", "kind"]

BOB = Credentials("bob", "hunter2")
HTPASSWD = "bob:$2y$05$6eGpOhNpdwjksLLr.xeTLuEGATtwzvyJq8p96Q9.cF8XTD2giHhei\n"
"""As `htpasswd -nbB bob hunter2` writes it."""


@dataclass(frozen=True)
class House:
    """A running registry: where it is, what the registries file says of it, and who may enter."""

    address: str
    text: str = ""
    credentials: Credentials | None = None
    authority: Authority | None = None

    def reference(self, name: str) -> Reference:
        return Reference.parse(f"{self.address}/{name}")

    def logged_in(self, folder: Path) -> Path:
        """Write the docker config file that other tools log in with."""
        path = folder / "config.json"
        auth = base64.b64encode(f"{BOB.username}:{BOB.password}".encode()).decode()
        path.write_text(json.dumps({"auths": {self.address: {"auth": auth}} if self.credentials else {}}))
        return path


@contextmanager
def fake(_folder: Path) -> Iterator[House]:
    """The fake, on a loop and thread of its own."""
    ready: Future[tuple[str, Callable[[], object]]] = Future()

    async def serve() -> None:
        loop, end = asyncio.get_running_loop(), asyncio.Event()
        async with FakeRegistry.serving(users={BOB.username: BOB.password}, tokens=True) as registry:
            ready.set_result((registry.address, lambda: loop.call_soon_threadsafe(end.set)))
            await end.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="fake registry")
    thread.start()
    address, end = ready.result(10)
    try:
        yield House(address, credentials=BOB)
    finally:
        end()
        thread.join()


@contextmanager
def docker_registry(
    folder: Path,
    *,
    authority: Authority | None = None,
    auth: Mapping[str, Any] | None = None,
    upstream: str = "",
) -> Iterator[str]:
    """Run Debian's docker-registry; answers HOST:PORT. `upstream`: only mirror what that one has."""
    http: dict[str, Any] = {"addr": "127.0.0.1:0", "relativeurls": False, "secret": "tests"}
    if authority:
        http["tls"] = {"certificate": str(authority.certificate), "key": str(authority.key)}
    settings: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "info"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "storage")}},
        "http": http,
    }
    if auth:
        settings["auth"] = auth
    if upstream:
        settings["proxy"] = {"remoteurl": upstream}
    (folder / "config.yml").write_text(json.dumps(settings))  # JSON is YAML
    with _running(
        ["docker-registry", "serve", str(folder / "config.yml")], folder, r"listening on 127\.0\.0\.1:(\d+)"
    ) as port:
        yield f"127.0.0.1:{port}"


@contextmanager
def basic(folder: Path) -> Iterator[House]:
    """docker-registry behind TLS by a private authority, and a password file."""
    authority = made(folder)
    (folder / "htpasswd").write_text(HTPASSWD)
    auth = {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}
    with docker_registry(folder, authority=authority, auth=auth) as address:
        yield House(address, f'[registry."{address}"]\nca = "{authority.ca}"\n', BOB, authority)


@contextmanager
def token(folder: Path) -> Iterator[House]:
    """docker-registry behind TLS, and a token server on another port."""
    authority = made(folder)
    with ExitStack() as stack:
        tokens = stack.enter_context(TokenServer(authority, {BOB.username: BOB.password}, "long-lived").serving())
        auth = {
            "token": {
                "realm": f"https://{tokens.address}/token",
                "service": SERVICE,
                "issuer": ISSUER,
                "rootcertbundle": str(authority.ca),
            }
        }
        address = stack.enter_context(docker_registry(folder, authority=authority, auth=auth))
        hosts = (address, tokens.address)
        text = "".join(f'[registry."{host}"]\nca = "{authority.ca}"\n' for host in hosts)
        yield House(address, text, BOB, authority)


@contextmanager
def crane(folder: Path) -> Iterator[House]:
    """go-containerregistry's registry: open, without TLS, with the referrers API."""
    command = [os.environ["CONDUCTOR_CRANE"], "registry", "serve", "--address", "127.0.0.1:0"]
    with _running(command, folder, r"serving on port (\d+)") as port:
        yield House(f"127.0.0.1:{port}")


HOUSES: Mapping[str, Callable[[Path], AbstractContextManager[House]]] = {
    "fake": fake,
    "docker-registry, password": basic,
    "docker-registry, tokens": token,
    "crane": crane,
}


def kind(name: str) -> ParameterSet:
    """Name a registry as a parameter of the fixture `house`."""
    return pytest.param(name, marks=[] if name == "fake" else [pytest.mark.registry])


PRIVATE = pytest.mark.parametrize("house", [kind(name) for name in HOUSES if name != "crane"], indirect=True)
"""Those that want to know who asks."""
SEALED = pytest.mark.parametrize("house", [kind(name) for name in HOUSES if name.startswith("docker")], indirect=True)
"""Those with TLS."""
SEALED_SITES = pytest.mark.parametrize("site", [name for name in HOUSES if name.startswith("docker")], indirect=True)
"""A node with one of them."""


@contextmanager
def _running(command: Sequence[str], folder: Path, says: str) -> Iterator[str]:
    """Run a server until the block ends; answers what `says` finds in its log."""
    said = folder / "registry.log"
    with said.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 20
        while not (found := re.search(says, said.read_text())):
            assert process.poll() is None, said.read_text()
            assert time.monotonic() < until, said.read_text()
            time.sleep(0.02)
        yield found[1]
    finally:
        process.terminate()
        process.wait(10)
