"""Images as the agent uses them (`ports.ImageSource`): registries, store and policy behind one face.

Nothing is connected before the first pull: what is pinned runs from the store, registry or not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, Self

from conductor.errors import InvalidConfig
from conductor.model.image import Credentials, ImageKind, ImageStatus, PullProgress, Reference
from conductor.model.kernel import PullPolicy
from conductor.oci.client import RegistryClient
from conductor.oci.puller import Pulled, Puller
from conductor.oci.registries import RegistriesConfig
from conductor.oci.store import ImageStore
from conductor.oci.trust.policy import TrustPolicy
from conductor.oci.trust.verifier import Verifier

__all__ = ["STORE_BYTES", "OciImages", "read_policy"]

STORE_BYTES: Final = 2 << 30
_SILENT: Final[Callable[[PullProgress], None]] = lambda _: None  # noqa: E731


class OciImages:
    """Own the image store, and the connections to registries once there are any."""

    def __init__(self, *, client: RegistryClient, store: ImageStore, puller: Puller) -> None:
        self._client, self._store, self._puller = client, store, puller

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        *,
        root: Path,
        registries: Path | None,
        policy: Path | None,
        environ: dict[str, str],
        bytes_limit: int = STORE_BYTES,
    ) -> AsyncIterator[Self]:
        """Be ready to pull until the scope ends.

        Raises `InvalidConfig` where the files that settings name are no good, `StateUnwritable`, `StoreFull`.
        """
        config = RegistriesConfig.read(registries, environ=environ)
        trust = read_policy(policy)
        async with AsyncExitStack() as stack:
            store = stack.enter_context(ImageStore.opened(root / "store", bytes_limit=bytes_limit))
            client = await stack.enter_async_context(RegistryClient.opened(registries=config))
            verifier = Verifier(policy=trust, client=client, verdicts=root / "verdicts")
            yield cls(client=client, store=store, puller=Puller(client=client, store=store, verifier=verifier))

    async def pull(
        self,
        reference: Reference,
        kind: ImageKind | None,
        *,
        policy: PullPolicy,
        credentials: Credentials | None = None,
        pinned: str = "",
        progress: Callable[[PullProgress], None] = _SILENT,
    ) -> Pulled:
        """Bring an image into the store, or find it there as the policy allows; see `Puller.pull`."""
        return await self._puller.pull(
            reference, kind, policy=policy, credentials=credentials, pinned=pinned, progress=progress
        )

    async def resolve(self, reference: Reference, *, credentials: Credentials | None = None) -> str:
        """Ask the registry which digest a reference stands for now."""
        return reference.digest or await self._client.head(reference, credentials=credentials)

    async def check(self, digests: Collection[str]) -> None:
        """Read what is pinned before it is asked for; what is damaged is removed."""
        await self._puller.check(digests)

    def held(self, digest: str) -> Pulled | None:
        """Find what was pulled by the digest that it resolved to."""
        return self._puller.held(digest)

    def located(self, content: str) -> Path | None:
        """Where a file lies, which is no use of it; None where it is not there."""
        return self._store.located(content)

    def keep(self, in_use: Collection[str]) -> None:
        """Say which digests no eviction may touch."""
        self._store.retain(in_use)

    def counts(self) -> Mapping[str, int]:
        """What the store and the registries did since the start, by the names of its metrics."""
        store = self._store.counts
        return {
            "images": self._store.count,
            "image_cache_bytes": self._store.bytes_used,
            "image_cache_limit_bytes": self._store.bytes_limit,
            "image_cache_hits_total": store.hits,
            "image_cache_misses_total": store.misses,
            "image_cache_evictions_total": store.evictions,
            "image_cache_damaged_total": store.damaged,
            "image_fetched_bytes_total": self._puller.counts.fetched_bytes,
        }

    def images(self, in_use: Collection[str]) -> tuple[ImageStatus, ...]:
        """List the store."""
        return tuple(replace(image, in_use=image.digest in in_use) for image in self._store.images())

    async def prune(self, in_use: Collection[str]) -> tuple[ImageStatus, ...]:
        """Remove what is not in use; answer what went."""
        self.keep(in_use)
        return await asyncio.to_thread(self._store.prune)


def read_policy(path: Path | None) -> TrustPolicy:
    """Read the image policy; without one every image is accepted. Raises `InvalidConfig`."""
    if path is None:
        return TrustPolicy.absent()
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is no UTF-8"
        raise InvalidConfig((("--image-policy", f"{path} cannot be read: {why}"),)) from None
    return TrustPolicy.parse(text, where=str(path))
