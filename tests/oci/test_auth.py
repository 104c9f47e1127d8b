from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from conductor.errors import ConductorError, RegistryAway, RegistryRefused
from conductor.model.image import Credentials
from conductor.oci.client import RegistryClient
from tests.fakes.registry import FakeRegistry, Faults
from tests.oci.asking import BLOB, OCI_MANIFEST, Bucket, client_of, described, manifest_body, reference

BOB = Credentials("bob", "hunter2")
USERS = {"bob": "hunter2"}


@asynccontextmanager
async def stocked(text: str = "", **wishes: Any) -> AsyncIterator[tuple[FakeRegistry, RegistryClient]]:
    async with FakeRegistry.serving(**wishes) as registry, client_of(text) as client:
        registry.put_manifest("team/tool", "v1", manifest_body(), OCI_MANIFEST)
        registry.put_blob(BLOB)
        yield registry, client


@pytest.mark.parametrize("tokens", [False, True])
def test_a_private_image_is_had_with_its_password(*, tokens: bool) -> None:
    async def story() -> None:
        async with stocked(users=USERS, tokens=tokens) as (registry, client):
            ref = reference(registry)
            await client.manifest(ref, credentials=BOB)
            await client.blob(ref, described(BLOB), Bucket(), credentials=BOB)
            assert registry.count("/token")["GET"] == tokens  # one token for both
            assert len(registry.seen) == 3 + tokens  # one call was refused, once

    asyncio.run(story())


@pytest.mark.parametrize("tokens", [False, True])
@pytest.mark.parametrize("shown", [None, Credentials("bob", "wrong-secret"), Credentials("<token>", "wrong-secret")])
def test_who_may_not_is_refused_in_a_sentence(*, tokens: bool, shown: Credentials | None) -> None:
    async def story() -> None:
        async with stocked(users=USERS, tokens=tokens) as (registry, client):
            with pytest.raises(RegistryRefused) as caught:
                await client.manifest(reference(registry), credentials=shown)
            assert registry.address in str(caught.value)
            assert "wrong-secret" not in str(caught.value)

    asyncio.run(story())


def test_a_public_image_behind_tokens_needs_no_password() -> None:
    async def story() -> None:
        async with stocked(users=USERS, tokens=True, anonymous_pull=True) as (registry, client):
            await client.manifest(reference(registry))

    asyncio.run(story())


def test_an_identity_token_is_exchanged() -> None:
    async def story() -> None:
        async with stocked(users=USERS, tokens=True, refresh_token="long-lived") as (registry, client):
            await client.manifest(reference(registry), credentials=Credentials("<token>", "long-lived"))
            assert registry.count("/token") == {"POST": 1}

    asyncio.run(story())


def test_a_token_that_ran_out_is_fetched_anew() -> None:
    async def story() -> None:
        async with stocked(users=USERS, tokens=True, token_seconds=1) as (registry, client):
            await client.manifest(reference(registry), credentials=BOB)
            await asyncio.sleep(0.95)  # it is not used to its very end
            registry.seen.clear()
            await client.manifest(reference(registry), credentials=BOB)
            assert registry.seen[0].authorization == ""

    asyncio.run(story())


def test_a_token_that_was_withdrawn_is_fetched_anew() -> None:
    async def story() -> None:
        async with stocked(users=USERS, tokens=True) as (registry, client):
            await client.manifest(reference(registry), credentials=BOB)
            registry.issued.clear()
            await client.manifest(reference(registry), credentials=BOB)

    asyncio.run(story())


def test_a_blob_goes_on_past_a_401_in_its_middle() -> None:
    async def story() -> None:
        async with stocked(users=USERS, tokens=True, faults=Faults(cut_at=[500_000])) as (registry, client):
            bucket = Bucket()

            def forget(piece: bytes) -> None:
                registry.issued.clear()
                bucket(piece)

            await client.blob(reference(registry), described(BLOB), forget, credentials=BOB)
            assert bucket.body == BLOB

    asyncio.run(story())


def test_fifty_at_once_share_one_token() -> None:
    async def story() -> None:
        async with stocked(users=USERS, tokens=True) as (registry, client):
            async with asyncio.TaskGroup() as group:
                for _ in range(50):
                    group.create_task(client.manifest(reference(registry), credentials=BOB), name="pull")
            assert registry.count("/token") == {"GET": 1}

    asyncio.run(story())


def test_nobody_pulls_by_the_token_of_another() -> None:
    async def story() -> None:
        async with stocked(users=USERS, tokens=True) as (registry, client):
            await client.manifest(reference(registry), credentials=BOB)
            with pytest.raises(RegistryRefused):
                await client.manifest(reference(registry))

    asyncio.run(story())


def test_configured_credentials_are_read_when_they_are_needed(tmp_path: Path) -> None:
    async def story() -> None:
        path = tmp_path / "config.json"
        path.write_text("{}")
        async with stocked(f'auth = "{path}"\n', users=USERS) as (registry, client):
            with pytest.raises(RegistryRefused, match="none is configured"):
                await client.manifest(reference(registry))
            auth = base64.b64encode(b"bob:hunter2").decode()
            path.write_text(json.dumps({"auths": {registry.address: {"auth": auth}}}))
            await client.manifest(reference(registry))

    asyncio.run(story())


@pytest.mark.parametrize("login", ["", "carol:secret@"])
def test_a_redirect_to_another_host_takes_no_credentials_along(login: str) -> None:
    async def story() -> None:
        async with FakeRegistry.serving() as storage, stocked(users=USERS, tokens=True) as (registry, client):
            storage.put_blob(BLOB)
            registry.faults.redirect_to = f"http://{login}{storage.address}"
            bucket = Bucket()
            await client.blob(reference(registry), described(BLOB), bucket, credentials=BOB)
            assert bucket.body == BLOB
            assert [seen.authorization for seen in storage.seen] == [""]
            assert storage.seen[0].path.endswith("?sig=s%2Bx")  # as it was signed

    asyncio.run(story())


@pytest.mark.parametrize("tokens", [False, True])
def test_another_host_that_asks_for_a_password_gets_none(*, tokens: bool) -> None:
    async def story() -> None:
        wishes: dict[str, Any] = {"users": USERS, "tokens": tokens}
        async with FakeRegistry.serving(**wishes) as storage, stocked(users=USERS) as (registry, client):
            await client.manifest(reference(registry), credentials=BOB)  # from here on its password is known
            registry.faults.redirect_to = f"http://{storage.address}"
            with pytest.raises(RegistryRefused):
                await client.blob(reference(registry), described(BLOB), Bucket(), credentials=BOB)
            assert {seen.authorization for seen in storage.seen} == {""}

    asyncio.run(story())


def test_a_redirect_without_encryption_to_elsewhere_is_refused() -> None:
    async def story() -> None:
        async with stocked() as (registry, client):
            for there in ("http://storage.example:80", "ftp://storage.example", "http://127.0.0.1.example"):
                registry.faults.redirect_to = there
                with pytest.raises((RegistryRefused, RegistryAway), match="redirects to"):
                    await client.blob(reference(registry), described(BLOB), Bucket())

    asyncio.run(story())


@pytest.mark.parametrize(
    "realm",
    [
        "http://tokens.example/token",
        "ftp://x",
        "",
        "https://user:pw@tokens.example/",
        "http://127.0.0.1.example/",
        "::",
    ],
)
def test_a_token_server_without_encryption_elsewhere_is_shown_nothing(realm: str) -> None:
    async def story() -> None:
        async with stocked(users=USERS, tokens=True, realm=realm or "nothing") as (registry, client):
            with pytest.raises((RegistryRefused, RegistryAway), match="token server"):
                await client.manifest(reference(registry), credentials=BOB)

    asyncio.run(story())


def test_credentials_of_a_call_are_not_for_mirrors(tmp_path: Path) -> None:
    async def story() -> None:
        async with FakeRegistry.serving(users=USERS) as mirror, FakeRegistry.serving(users=USERS) as registry:
            registry.put_manifest("team/tool", "v1", manifest_body(), OCI_MANIFEST)
            text = f'[registry."{registry.address}"]\nmirrors = ["{mirror.address}"]\n'
            async with client_of(text) as client:
                await client.manifest(reference(registry), credentials=BOB)
            assert {seen.authorization for seen in mirror.seen} == {""}
            # What is configured for the mirror is shown to it.
            auth = base64.b64encode(b"bob:hunter2").decode()
            path = tmp_path / "config.json"
            path.write_text(json.dumps({"auths": {mirror.address: {"auth": auth}}}))
            mirror.put_manifest("team/tool", "v1", manifest_body(), OCI_MANIFEST)
            async with client_of(f'auth = "{path}"\n{text}') as client:
                registry.seen.clear()
                await client.manifest(reference(registry))
                assert not registry.seen

    asyncio.run(story())


def test_no_secret_is_in_any_log_or_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    told: list[str] = []

    async def story() -> None:
        for faults in (Faults(), Faults(statuses=[403]), Faults(statuses=[500] * 9), Faults(cut_at=[0] * 9)):
            for tokens in (False, True):
                async with stocked(users=USERS, tokens=tokens, faults=faults) as (registry, client):
                    try:
                        await client.manifest(reference(registry), credentials=BOB)
                        await client.blob(reference(registry), described(BLOB), Bucket(), credentials=BOB)
                    except ConductorError as exc:
                        told.append(f"{exc!r} {exc.__cause__!r} {exc.__context__!r}")
                    hidden = ["hunter2", base64.b64encode(b"bob:hunter2").decode(), *registry.issued]
                    spoken = "\n".join([*told, caplog.text, repr(client), repr(vars(client))])
                    assert not [secret for secret in hidden if secret in spoken]

    asyncio.run(story())
    assert told
