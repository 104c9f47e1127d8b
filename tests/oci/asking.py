"""What tests of the client share: quick limits, settings, a client for one fake, an image that means nothing."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from conductor.model.image import Descriptor, Reference
from conductor.oci.client import RegistryClient
from conductor.oci.limits import RegistryLimits
from conductor.oci.registries import RegistriesConfig
from tests.fakes.registry import FakeRegistry, digest_of

QUICK = RegistryLimits(
    manifest=1 << 20, call=10, connect=2, stall=0.5, backoff=0.01, backoff_most=0.05, retry_after=1, chunk=64 << 10
)
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
BLOB = os.urandom(1_000_000)


def config(text: str = "", environ: Mapping[str, str] | None = None) -> RegistriesConfig:
    return RegistriesConfig.parse(text, where="registries.toml", environ=environ or {})


@asynccontextmanager
async def client_of(text: str = "", limits: RegistryLimits = QUICK) -> AsyncIterator[RegistryClient]:
    async with RegistryClient.opened(registries=config(text), limits=limits) as client:
        yield client


def reference(registry: FakeRegistry, name: str = "team/tool:v1") -> Reference:
    return Reference.parse(f"{registry.address}/{name}")


def described(body: bytes, media_type: str = "application/wasm") -> Descriptor:
    return Descriptor(media_type, digest_of(body), len(body))


def manifest_body(*, note: str = "", subject: Descriptor | None = None) -> bytes:
    """A manifest of one blob; `note` makes it another one."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": described(b"{}", "application/vnd.oci.empty.v1+json").printed(),
        "layers": [described(BLOB).printed()],
        "annotations": {"note": note},
    }
    return json.dumps(document | ({"subject": subject.printed()} if subject else {})).encode()


class Bucket:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.body = bytearray()

    def __call__(self, piece: bytes) -> None:
        self.body += piece
