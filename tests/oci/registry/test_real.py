"""What only real registries and other people's tools can show."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path

import pytest

from conductor.errors import RegistryAway
from conductor.model.image import Credentials, Descriptor, Reference
from tests.oci.asking import Bucket, client_of
from tests.oci.registry.houses import HOUSES, SEALED, House, docker_registry
from tests.oci.registry.test_contract import CONTENT, pushed

pytestmark = pytest.mark.registry


def skopeo(house: House, folder: Path, *words: str) -> str:
    """Run skopeo as somebody who is logged in and trusts the authority."""
    if house.authority:
        (folder / "certs").mkdir(exist_ok=True)
        (folder / "certs/ca.crt").write_bytes(house.authority.ca.read_bytes())
    way = ["--cert-dir", str(folder / "certs")] if house.authority else ["--tls-verify=false"]
    sides = {"copy": ["src", "dest"]}.get(words[0], [""])
    used = [f"--{side}-{flag[2:]}" if side and flag.startswith("--") else flag for side in sides for flag in way]
    command = ["skopeo", "--insecure-policy", words[0], *used, "--authfile", str(house.logged_in(folder)), *words[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_skopeo_reads_what_we_push(house: House, tmp_path: Path) -> None:
    async def story() -> str:
        async with client_of(house.text) as client:
            ref = house.reference("skopeo/ours:v1")
            return (await pushed(client, ref, house.credentials, CONTENT)).digest

    digest = asyncio.run(story())
    skopeo(house, tmp_path, "copy", f"docker://{house.address}/skopeo/ours:v1", f"oci:{tmp_path}/layout:v1")
    (entry,) = json.loads((tmp_path / "layout/index.json").read_text())["manifests"]
    assert entry["digest"] == digest


def test_we_read_what_skopeo_pushes(house: House, tmp_path: Path) -> None:
    async def push() -> None:
        async with client_of(house.text) as client:
            await pushed(client, house.reference("skopeo/source:v1"), house.credentials, CONTENT)

    async def pull() -> None:
        async with client_of(house.text) as client:
            ref = house.reference("skopeo/theirs:v1")
            found = await client.manifest(ref, credentials=house.credentials)
            (layer,) = found.parsed["layers"]
            bucket = Bucket()
            await client.blob(ref, Descriptor.parse(layer, "layer"), bucket, credentials=house.credentials)
            assert bucket.body == CONTENT

    asyncio.run(push())
    there = f"docker://{house.address}/skopeo"
    skopeo(house, tmp_path, "copy", f"{there}/source:v1", f"{there}/theirs:v1")
    asyncio.run(pull())


@SEALED
def test_an_authority_that_is_not_named_is_not_trusted(house: House) -> None:
    async def story() -> None:
        async with client_of(f'[registry."{house.address}"]\nplain_http = false\n') as client:
            with pytest.raises(RegistryAway, match="certificate"):
                await client.manifest(house.reference("a/b"), credentials=house.credentials)

    asyncio.run(story())


def test_an_identity_token_opens_a_registry_with_tokens(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        async with client_of(house.text) as client:
            who = Credentials("<token>", "long-lived")
            await pushed(client, house.reference("a/b:v1"), who, b"x")
            await client.manifest(house.reference("a/b:v1"), credentials=who)

    with HOUSES["docker-registry, tokens"](tmp_path) as house:
        asyncio.run(story(house))


def test_a_pull_through_mirror_serves_what_upstream_had(tmp_path: Path) -> None:
    async def fill(house: House) -> Descriptor:
        async with client_of() as client:
            return await pushed(client, house.reference("team/tool:v1"), None, CONTENT)

    async def pull(text: str, ref: Reference) -> None:
        async with client_of(text) as client:
            found = await client.manifest(ref)
            bucket = Bucket()
            await client.blob(ref, Descriptor.parse(found.parsed["layers"][0], "layer"), bucket)
            assert bucket.body == CONTENT

    for folder in ("upstream", "mirror"):
        (tmp_path / folder).mkdir()
    with HOUSES["crane"](tmp_path / "upstream") as upstream:
        image = asyncio.run(fill(upstream))
        with docker_registry(tmp_path / "mirror", upstream=f"http://{upstream.address}") as mirror:
            text = f'[registry."{upstream.address}"]\nmirrors = ["{mirror}"]\n'
            ref = upstream.reference("team/tool").at(image.digest)
            asyncio.run(pull(text, ref))
            served = (tmp_path / "mirror/registry.log").read_text()
            assert f"/v2/team/tool/manifests/{image.digest}" in served


def test_crane_reads_what_we_push(tmp_path: Path) -> None:
    async def story(house: House) -> str:
        async with client_of() as client:
            return (await pushed(client, house.reference("a/b:v1"), None, CONTENT)).digest

    with HOUSES["crane"](tmp_path) as house:
        digest = asyncio.run(story(house))
        command = [os.environ["CONDUCTOR_CRANE"], "digest", f"{house.address}/a/b:v1"]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == digest
