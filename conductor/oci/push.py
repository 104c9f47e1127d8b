"""Pushing: blobs in parts that are taken up again, manifests, and the tag that lists referrers."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yarl import URL

from conductor.errors import ImageDamaged, ImageNotFound, RegistryAway
from conductor.model.image import Credentials, Descriptor, Reference, annotations_of
from conductor.oci.manifests import digest_of
from conductor.oci.media_types import OCI_INDEX
from conductor.oci.persistence import Unsteady, pause, persistently
from conductor.oci.referrers import descriptors_of, tag_of
from conductor.oci.registries import Endpoint
from conductor.oci.transport import Answer, Ask, Transport
from conductor.oci.wire import Body

__all__ = ["Progress", "Pusher", "Source"]

Progress = Callable[[int, int], None]
"""Called with bytes done and total."""
_PIECE = 256 << 10
_PUSH = "pull,push"
_RANGE = re.compile(r"(?:bytes=)?0-(\d{1,18})")


@dataclass(frozen=True, slots=True)
class Source:
    """Bytes to push: in memory, or a file that is read again for each try."""

    data: bytes | Path

    def size(self) -> int:
        """Length in bytes. Blocks on files, as the rest of this class."""
        return self.data.stat().st_size if isinstance(self.data, Path) else len(self.data)

    def digest(self) -> str:
        """Digest of all bytes."""
        if not isinstance(self.data, Path):
            return digest_of(self.data)
        with self.data.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"

    def part(self, start: int, length: int) -> bytes:
        """Bytes of one part."""
        if not isinstance(self.data, Path):
            return self.data[start : start + length]
        with self.data.open("rb") as file:
            file.seek(start)
            return file.read(length)


class Pusher:
    """Push to the one endpoint that a reference names; mirrors are never written to."""

    def __init__(
        self, *, transport: Transport, endpoint: Endpoint, reference: Reference, credentials: Credentials | None
    ) -> None:
        self._transport = transport
        self._endpoint = endpoint
        self._reference = reference
        self._credentials = credentials

    async def has_blob(self, digest: str) -> bool:
        """Ask whether the repository holds a blob."""
        ask = self._ask(f"blobs/{digest}", f"blob {digest}", method="HEAD", accepts=frozenset({200, 404}))
        return (await self._small(ask)).status == 200

    async def push_blob(self, source: Source, digest: str, size: int, progress: Progress) -> None:
        """Push a blob unless it is there. Raises `ImageDamaged` where the registry got other bytes."""
        if await self.has_blob(digest):
            progress(size, size)
            return
        limits = self._transport.limits
        for attempt in range(1, limits.attempts + 1):
            try:
                await self._upload(source, digest, size, progress)
            except Unsteady as exc:
                if attempt == limits.attempts:
                    raise
                await pause(attempt, exc, limits)
            else:
                return

    async def push_manifest(self, body: bytes, media_type: str) -> str:
        """Push a manifest under the reference's tag or digest, and list it as a referrer where the registry does not.

        Answers its digest. Raises `ImageDamaged` where the registry understood another one.
        """
        digest = digest_of(body)
        answer = await self._put(self._reference.wanted, body, media_type)
        told = answer.headers.get("Docker-Content-Digest", digest)
        if told.startswith("sha256:") and told != digest:
            raise ImageDamaged(f"{self._reference}: the registry stored {told} instead of {digest}")
        manifest = json.loads(body)
        if isinstance(manifest, dict) and "subject" in manifest and "OCI-Subject" not in answer.headers:
            subject = Descriptor.parse(manifest["subject"], "subject")
            await self._list_referrer(subject.digest, _as_referrer(manifest, media_type, digest, len(body)))
        return digest

    async def _list_referrer(self, subject: str, referrer: Descriptor) -> None:
        """Write the referrers tag anew with one more entry; two writers at once may lose one (the spec has no lock)."""
        tag = tag_of(subject)
        ask = self._ask(f"manifests/{tag}", "the list of referrers", headers={"Accept": OCI_INDEX})
        try:
            answer = await self._small(ask)
            listed = descriptors_of(answer.body, f"{self._reference.tagged(tag)}", self._transport.limits.manifest)
        except ImageNotFound:
            listed = ()
        if any(known.digest == referrer.digest for known in listed):
            return
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [d.printed() for d in (*listed, referrer)]}
        await self._put(tag, json.dumps(index, separators=(",", ":")).encode(), OCI_INDEX)

    async def _put(self, name: str, body: bytes, media_type: str) -> Answer:
        ask = self._ask(
            f"manifests/{name}",
            "the manifest",
            method="PUT",
            headers={"Content-Type": media_type, "Content-Length": str(len(body))},
            body=_pieces(body, _ignore),
            accepts=frozenset({200, 201, 202}),
        )
        return await self._small(ask)

    async def _upload(self, source: Source, digest: str, size: int, progress: Progress) -> None:
        begin = self._ask(
            "blobs/uploads/", f"blob {digest}", method="POST", headers={"Content-Length": "0"}, accepts=frozenset({202})
        )
        place = self._place(await self._transport.read(begin, _PIECE), begin.target)
        chunk = self._transport.limits.chunk
        at = 0
        while size - at > chunk:
            place, at = await self._part(source, place, at, progress, size)
        last = await asyncio.to_thread(source.part, at, size - at)
        url = f"{place}{'&' if '?' in place else '?'}digest={digest}"
        ask = self._ask(
            "",
            f"blob {digest}",
            method="PUT",
            url=url,
            headers={"Content-Type": "application/octet-stream", "Content-Length": str(len(last))},
            body=_pieces(last, lambda done: progress(at + done, size)),
            accepts=frozenset({201, 204}),
        )
        answer = await self._transport.read(ask, _PIECE)
        told = answer.headers.get("Docker-Content-Digest", digest)
        if told.startswith("sha256:") and told != digest:
            raise ImageDamaged(f"{self._reference.name}: the registry stored {told} instead of {digest}")
        progress(size, size)

    async def _part(self, source: Source, place: str, at: int, progress: Progress, size: int) -> tuple[str, int]:
        """Send one part; answers where the next goes, and from which byte on."""
        part = await asyncio.to_thread(source.part, at, self._transport.limits.chunk)
        ask = self._ask(
            "",
            "an upload",
            method="PATCH",
            url=place,
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Length": str(len(part)),
                "Content-Range": f"{at}-{at + len(part) - 1}",
            },
            body=_pieces(part, lambda done: progress(at + done, size)),
            accepts=frozenset({202, 204}),
        )
        try:
            answer = await self._transport.read(ask, _PIECE)
        except Unsteady as exc:
            return await self._found_again(place, exc)
        return self._place(answer, place), _reached(answer.headers, at + len(part))

    async def _found_again(self, place: str, trouble: Unsteady) -> tuple[str, int]:
        """Ask an upload that broke how far it came; raises the trouble where it is gone, and all begins anew."""
        await pause(1, trouble, self._transport.limits)
        ask = self._ask("", "an upload", url=place, accepts=frozenset({200, 204}))
        try:
            answer = await self._small(ask)
        except (ImageNotFound, RegistryAway):
            raise trouble from None
        return self._place(answer, place), _reached(answer.headers, 0)

    def _place(self, answer: Answer, here: str) -> str:
        """Where an upload goes on: absolute, or relative to where we asked."""
        try:
            there = URL(here, encoded=True).join(URL(answer.headers.get("Location", "") or here, encoded=True))
        except ValueError:
            raise RegistryAway(f"{self._reference.name}: the registry sends an upload to no address") from None
        if there.scheme == "http" and not self._endpoint.plain:
            raise RegistryAway(
                f"{self._reference.name}: the registry sends an upload to {there.host} without encryption"
            )
        return str(there)

    async def _small(self, ask: Ask) -> Answer:
        limits = self._transport.limits
        return await persistently(
            lambda: self._transport.read(ask, limits.manifest), limits=limits, attempts=limits.attempts
        )

    def _ask(self, path: str, what: str, **options: Any) -> Ask:
        return Ask(
            endpoint=self._endpoint,
            path=path,
            what=f"{self._reference}: {what}",
            actions=_PUSH,
            credentials=self._credentials,
            **options,
        )


def _pieces(data: bytes, progress: Callable[[int], None]) -> Body:
    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(data), _PIECE):
            yield data[at : at + _PIECE]
            progress(min(at + _PIECE, len(data)))

    return pieces


def _ignore(_done: int) -> None:
    """Let small things go untold."""


def _reached(headers: Mapping[str, str], otherwise: int) -> int:
    found = _RANGE.fullmatch(headers.get("Range", "").strip())
    return int(found[1]) + 1 if found else otherwise


def _as_referrer(manifest: Mapping[str, Any], media_type: str, digest: str, size: int) -> Descriptor:
    """Describe a manifest as the spec wants it listed: artifactType falls back to the config's type."""
    config = manifest.get("config")
    own = manifest.get("artifactType") or (config.get("mediaType") if isinstance(config, dict) else "") or ""
    return Descriptor(media_type, digest, size, annotations_of(manifest, "the manifest"), str(own))
