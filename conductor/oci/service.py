"""Images as the agent uses them (`ports.ImageSource`): registries, store and policy behind one face."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Self

from conductor.errors import NotYet
from conductor.model.image import Credentials, ImageKind, ImageStatus, PullProgress, Reference
from conductor.model.kernel import PullPolicy
from conductor.ports import PulledImage

__all__ = ["OciImages"]


class OciImages:
    """Own the image store and the connections to registries."""

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[Self]:
        """Be ready to pull until the scope ends."""
        yield cls()

    async def pull(
        self,
        reference: Reference,
        kind: ImageKind | None,
        *,
        policy: PullPolicy,
        credentials: Credentials | None = None,
        progress: Callable[[PullProgress], None] = lambda _: None,
    ) -> PulledImage:
        """Bring an image into the store."""
        del kind, policy, credentials, progress
        raise NotYet(f"image {reference}: this version does not pull images; give a file or a built-in")

    def held(self, digest: str) -> PulledImage | None:
        """Find what was pulled."""
        del digest
        return None

    def images(self, in_use: Collection[str]) -> tuple[ImageStatus, ...]:
        """List the store."""
        del in_use
        return ()

    def keep(self, in_use: Collection[str]) -> None:
        """Say which digests no eviction may touch."""

    async def prune(self, in_use: Collection[str]) -> tuple[ImageStatus, ...]:
        """Remove what is not in use."""
        del in_use
        return ()
