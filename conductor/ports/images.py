"""Images, pulled and held."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Protocol

from conductor.model.image import Credentials, ImageKind, ImageStatus, PullProgress, Reference
from conductor.model.kernel import PullPolicy

__all__ = ["ImageSource", "PullSecrets", "PulledImage"]


class PulledImage(Protocol):
    """An image that lies verified in the store."""

    @property
    def digest(self) -> str:
        """What the reference resolved to: pin this."""
        ...

    @property
    def kind(self) -> ImageKind: ...
    @property
    def content(self) -> str:
        """Digest of the file that runs."""
        ...

    @property
    def path(self) -> Path:
        """That file; nothing but a prune or an eviction of what nobody holds removes it."""
        ...

    @property
    def note(self) -> str:
        """What whoever asked should know, such as that a tag moved; mostly empty."""
        ...


class ImageSource(Protocol):
    """Registries and the store of what came from them.

    Raises `ImageNotFound`, `ImageUnusable`, `ImageUntrusted`, `ImageDamaged`, `ImageTooLarge`, `RegistryAway`,
    `RegistryRefused`, `StoreFull`.
    """

    async def pull(
        self,
        reference: Reference,
        kind: ImageKind | None,
        *,
        policy: PullPolicy,
        credentials: Credentials | None = None,
        pinned: str = "",
        progress: Callable[[PullProgress], None] = ...,
    ) -> PulledImage:
        """Bring an image into the store, or find it there as the policy allows. `kind` None takes either.

        `pinned` is the digest that it must be, whatever its tag names now.
        """
        ...

    async def resolve(self, reference: Reference, *, credentials: Credentials | None = None) -> str:
        """Ask the registry which digest a reference stands for now."""
        ...

    async def check(self, digests: Collection[str]) -> None:
        """Read what is pinned before it is asked for; what is damaged is removed."""
        ...

    def held(self, digest: str) -> PulledImage | None:
        """Find in the store what was pulled by this manifest's digest; its bytes are checked once per process."""
        ...

    def located(self, content: str) -> Path | None:
        """Where a file lies, by its own digest; that is no use of it, and its bytes are not checked."""
        ...

    def images(self, in_use: Collection[str]) -> tuple[ImageStatus, ...]:
        """List the store; `in_use` are digests of manifests that somebody needs."""
        ...

    def counts(self) -> Mapping[str, int]:
        """What the store and the registries did since the start, by the names of its metrics."""
        ...

    def keep(self, in_use: Collection[str]) -> None:
        """Say which digests no eviction may touch."""
        ...

    async def prune(self, in_use: Collection[str]) -> tuple[ImageStatus, ...]:
        """Remove what is not in use; answer what went."""
        ...


class PullSecrets(Protocol):
    """Pull secrets of a cluster; nothing of them is kept."""

    async def credentials(self, name: str, reference: Reference) -> Credentials | None:
        """Answer what a secret says of the image's registry; None where it names others.

        Raises `PullSecretNotAllowed`, `PullSecretUnusable`, `ClusterAway`.
        """
        ...
