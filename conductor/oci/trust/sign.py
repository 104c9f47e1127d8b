"""Sign an image with a key: a Sigstore bundle as its referrer, and cosign's older `.sig` tag where that is asked for."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from conductor.errors import ImageNotFound, ImageUnusable
from conductor.model.image import Credentials, Descriptor
from conductor.model.reference import Reference
from conductor.oci.manifests import digest_of
from conductor.oci.media_types import OCI_CONFIG, OCI_MANIFEST
from conductor.oci.trust.claims import IN_TOTO, SIGN, pae
from conductor.oci.trust.discover import legacy_tag
from conductor.oci.trust.evidence import BUNDLE_TYPE, SIMPLE_TYPE

if TYPE_CHECKING:
    from conductor.oci.trust.signing_key import SigningKey

__all__ = ["Signature", "WritableRegistry", "sign"]

_BUNDLE: Final = f"{BUNDLE_TYPE}.v0.3+json"
_EMPTY: Final = "application/vnd.oci.empty.v1+json"
_MARK: Final = "dev.cosignproject.cosign/signature"


class Held(Protocol):
    """A manifest as the registry client answers it."""

    @property
    def digest(self) -> str:
        """Of its bytes."""

    @property
    def media_type(self) -> str:
        """What it is."""

    @property
    def body(self) -> bytes:
        """Its bytes."""

    @property
    def parsed(self) -> Mapping[str, Any]:
        """Its JSON."""


class WritableRegistry(Protocol):
    """What is needed of the registry client."""

    async def manifest(self, ref: Reference, *, credentials: Credentials | None = None) -> Held:
        """Fetch what a tag or digest names."""

    async def push_blob(self, ref: Reference, data: bytes, *, credentials: Credentials | None = None) -> Descriptor:
        """Push bytes."""

    async def push_manifest(
        self, ref: Reference, body: bytes, media_type: str, *, credentials: Credentials | None = None
    ) -> str:
        """Push a manifest, listed as a referrer where it has a subject."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Where signatures were put."""

    image: Reference
    bundle: Reference
    legacy: Reference | None = None


async def sign(
    client: WritableRegistry,
    ref: Reference,
    digest: str,
    *,
    key: Path,
    password: bytes | None = None,
    legacy: bool = False,
    credentials: Credentials | None = None,
) -> Signature:
    """Sign what `ref` resolved to; `legacy` adds the `.sig` tag. Signing twice with one key adds nothing.

    Raises `InvalidSpec` for the key, `ImageNotFound`, and whatever a push does.
    """
    from conductor.oci.trust.signing_key import SigningKey  # noqa: PLC0415 - only signing needs its memory

    signing = await asyncio.to_thread(SigningKey.read, key, password)
    work = _Work(client, ref, digest, signing, credentials)
    bundle = await work.bundle()
    return Signature(ref.at(digest), bundle, await work.legacy() if legacy else None)


class _Work:
    """One signing under way."""

    def __init__(
        self,
        client: WritableRegistry,
        ref: Reference,
        digest: str,
        key: SigningKey,
        credentials: Credentials | None,
    ) -> None:
        self._client, self._ref, self._digest = client, ref, digest
        self._key, self._credentials = key, credentials

    async def bundle(self) -> Reference:
        subject = await self._client.manifest(self._ref.at(self._digest), credentials=self._credentials)
        layer = await self._blob(_bundle(self._key, self._digest), _BUNDLE)
        config = await self._blob(b"{}", _EMPTY)
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": _BUNDLE,
            "config": config,
            "layers": [layer],
            "subject": {"mediaType": subject.media_type, "digest": subject.digest, "size": len(subject.body)},
            "annotations": {"dev.sigstore.bundle.content": "dsse-envelope", "dev.sigstore.bundle.predicateType": SIGN},
        }
        at = self._ref.at(digest_of(_printed(manifest)))
        await self._manifest(at, manifest)
        return at

    async def legacy(self) -> Reference:
        """Add a layer to what the `.sig` tag holds; two who do so at once may lose one (the form has no lock)."""
        tag = self._ref.tagged(legacy_tag(self._digest))
        payload = _payload(self._ref, self._digest)
        mark = {_MARK: base64.b64encode(self._key.sign(payload, plain=True)).decode()}
        layer = await self._blob(payload, SIMPLE_TYPE) | {"annotations": mark}
        layers = await self._layers(tag)
        if any((one.get("digest"), one.get("annotations")) == (layer["digest"], mark) for one in layers):
            return tag
        layers.append(layer)
        unpacked = {"type": "layers", "diff_ids": [one["digest"] for one in layers]}
        words = {"architecture": "", "os": "", "config": {}, "history": [{}] * len(layers), "rootfs": unpacked}
        config = await self._blob(json.dumps(words).encode(), OCI_CONFIG)
        manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers}
        await self._manifest(tag, manifest)
        return tag

    async def _layers(self, tag: Reference) -> list[dict[str, Any]]:
        try:
            held = await self._client.manifest(tag, credentials=self._credentials)
        except ImageNotFound:
            return []
        layers = held.parsed.get("layers")
        if not isinstance(layers, list) or not all(isinstance(one, dict) and "digest" in one for one in layers):
            raise ImageUnusable(f"{tag} holds no signatures, so none can be added; remove it, or sign without it")
        return list(layers)

    async def _blob(self, data: bytes, media_type: str) -> dict[str, Any]:
        pushed = await self._client.push_blob(self._ref, data, credentials=self._credentials)
        return {"mediaType": media_type, "digest": pushed.digest, "size": pushed.size}

    async def _manifest(self, ref: Reference, manifest: Mapping[str, Any]) -> None:
        await self._client.push_manifest(ref, _printed(manifest), OCI_MANIFEST, credentials=self._credentials)


def _bundle(key: SigningKey, digest: str) -> bytes:
    subject = [{"digest": {"sha256": digest.removeprefix("sha256:")}}]
    statement = {"_type": "https://in-toto.io/Statement/v1", "subject": subject, "predicateType": SIGN, "predicate": {}}
    payload = _printed(statement)
    signature = base64.b64encode(key.sign(pae(IN_TOTO, payload))).decode()
    return _printed(
        {
            "mediaType": _BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": key.hint}},
            "dsseEnvelope": {
                "payload": base64.b64encode(payload).decode(),
                "payloadType": IN_TOTO,
                "signatures": [{"sig": signature}],
            },
        }
    )


def _payload(ref: Reference, digest: str) -> bytes:
    critical = {
        "identity": {"docker-reference": ref.name},
        "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature",
    }
    return _printed({"critical": critical, "optional": None})


def _printed(said: Mapping[str, Any]) -> bytes:
    return json.dumps(said, separators=(",", ":")).encode()
