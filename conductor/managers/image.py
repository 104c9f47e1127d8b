"""The Image Manager: which images this node holds, for whom, and which digest a wish stands for."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from conductor.errors import ConductorError, ImagePending
from conductor.managers.kernel_tasks import beside
from conductor.model.events import Event, ImagePulling
from conductor.model.ids import Name
from conductor.model.image import Credentials, ImageKind, ImageStatus, PullProgress, Reference
from conductor.model.kernel import ImageObject, PullPolicy
from conductor.model.program import ProgramSpec
from conductor.plan.images import image_of
from conductor.ports import ImageSource, PulledImage, PullSecrets

__all__ = ["ImageManager"]

LENT_SECONDS = 600.0
LENT_MOST = 256
TELL_SECONDS = 0.25
"""Least time between two words on one pull's progress."""
QUEUE = 256


@dataclass(frozen=True, slots=True)
class _Loan:
    credentials: Credentials
    until: float


class ImageManager:
    """Own the images of this node; nobody else pulls, and what a wish names is never evicted."""

    def __init__(
        self,
        *,
        source: ImageSource,
        publish: Callable[[Event], Awaitable[None]],
        secrets: PullSecrets | None = None,
    ) -> None:
        self._source, self._publish, self._secrets = source, publish, secrets
        self._loans: OrderedDict[tuple[Name, str], _Loan] = OrderedDict()
        """By program and image: what one caller lent serves no other program."""
        self._news: asyncio.Queue[PullProgress] = asyncio.Queue(QUEUE)
        self._told: dict[str, float] = {}
        self._in_use: frozenset[str] = frozenset()
        self._problems: dict[ImageObject, ConductorError] = {}
        """Why the last pull for a wish failed."""
        self.pulls = self.failures = 0
        self.progress_dropped = 0
        """Words on progress that nobody took in time; the next one tells as much."""
        self.loans_dropped = 0
        """Credentials forgotten before they served, for there were too many."""

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        *,
        source: ImageSource,
        publish: Callable[[Event], Awaitable[None]],
        secrets: PullSecrets | None = None,
    ) -> AsyncIterator[Self]:
        """Tell of pulls until the scope ends. Without `secrets` pull secrets mean nothing: there is no cluster."""
        self = cls(source=source, publish=publish, secrets=secrets)
        async with beside({"image progress": self._tell()}):
            yield self

    def file_of(self, image: ImageObject) -> PulledImage:
        """Answer what a pinned image holds. Raises `ImagePending`, or why it is not here."""
        held = self._source.held(image.digest) if image.digest else None
        if held is None:
            raise self._problems.get(image) or ImagePending(f"image {image.url} is being pulled")
        return held

    def is_here(self, image: ImageObject) -> bool:
        """Whether a wish for it needs no registry."""
        return bool(image.digest) and self._source.held(image.digest) is not None

    async def pin(self, image: ImageObject, kind: ImageKind, *, name: Name) -> tuple[ImageObject, str]:
        """Pull by the policy of the wish `name`; answer it with its digest, and a note for whoever asked.

        Raises what `ports.ImageSource` and `ports.PullSecrets` do, and `InvalidSpec`.
        """
        try:
            credentials = self._lent(name, image.url) or await self._secret(image)
            pulled = await self._pull(image, kind, credentials)
        except ConductorError as error:
            self._problems[image] = error
            raise
        self._problems.pop(image, None)
        self._loans.pop((name, image.url), None)
        return replace(image, digest=pulled.digest), pulled.note

    async def pull(self, image: ImageObject, credentials: Credentials | None = None) -> str:
        """Pull before it is needed, whatever it holds; answer the digest of its manifest."""
        return (await self._pull(image, None, credentials)).digest

    async def resolve(self, url: str, credentials: Credentials | None = None, *, pull_secret: str = "") -> str:
        """Answer the digest that a reference stands for now: what a whole fleet is pinned to."""
        reference = Reference.parse(url, "image.url")
        if pull_secret and self._secrets is not None and credentials is None:
            credentials = await self._secrets.credentials(pull_secret, reference)
        return await self._source.resolve(reference, credentials=credentials)

    def lend(self, name: Name, url: str, credentials: Credentials) -> None:
        """Remember credentials for the pull that a program leads to: in memory, until it is done or 10 minutes."""
        self._forget_loans()
        if len(self._loans) >= LENT_MOST:
            self._loans.popitem(last=False)
            self.loans_dropped += 1
        self._loans[name, url] = _Loan(credentials, time.monotonic() + LENT_SECONDS)

    def keep(self, specs: Iterable[ProgramSpec]) -> None:
        """Hold what these wishes name: no eviction and no prune touches it."""
        named = {image for spec in specs if (image := image_of(spec)) is not None}
        self._problems = {image: error for image, error in self._problems.items() if image in named}
        self._in_use = frozenset(image.digest for image in named if image.digest)
        self._source.keep(self._in_use)

    async def check(self, specs: Iterable[ProgramSpec]) -> None:
        """Look once whether what these wishes name is whole, off the event loop."""
        named = (image_of(spec) for spec in specs)
        await self._source.check({image.digest for image in named if image is not None and image.digest})

    def located(self, content: str) -> Path | None:
        """Where the file of an image lies, by its own digest; looking at it is no use of it."""
        return self._source.located(content)

    def images(self) -> tuple[ImageStatus, ...]:
        """List what is here."""
        return self._source.images(self._in_use)

    def counts(self) -> Mapping[str, int]:
        """What happened since the start, by the names of its metrics."""
        return {
            **self._source.counts(),
            "image_pulls_total": self.pulls,
            "image_pull_failures_total": self.failures,
            "image_progress_dropped_total": self.progress_dropped,
            "image_credentials_dropped_total": self.loans_dropped,
        }

    async def prune(self) -> tuple[ImageStatus, ...]:
        """Remove what no wish names; answer what went."""
        return await self._source.prune(self._in_use)

    async def _pull(self, image: ImageObject, kind: ImageKind | None, credentials: Credentials | None) -> PulledImage:
        reference = Reference.parse(image.url, "image.url")
        self.pulls += 1
        try:
            return await self._source.pull(
                reference,
                kind,
                policy=image.pull_policy,
                credentials=credentials,
                pinned=image.digest,
                progress=self._hear,
            )
        except BaseException:
            self.failures += 1
            raise
        finally:
            self._told.pop(str(reference), None)

    async def _secret(self, image: ImageObject) -> Credentials | None:
        """Read what a pull secret says of an image's registry, each time anew; not where no registry is asked."""
        needs_none = self.is_here(image) and image.pull_policy is not PullPolicy.ALWAYS
        if not image.pull_secret or self._secrets is None or needs_none:
            return None
        return await self._secrets.credentials(image.pull_secret, Reference.parse(image.url, "image.url"))

    def _lent(self, name: Name, url: str) -> Credentials | None:
        self._forget_loans()
        loan = self._loans.get((name, url))
        return loan.credentials if loan is not None else None

    def _forget_loans(self) -> None:
        now = time.monotonic()
        for key in [key for key, loan in self._loans.items() if loan.until <= now]:
            del self._loans[key]

    def _hear(self, progress: PullProgress) -> None:
        """Take a word on progress, from the loop; too many of them are left out."""
        now, last = time.monotonic(), self._told.get(progress.reference, 0.0)
        if progress.phase == "fetch" and now - last < TELL_SECONDS and progress.done != progress.total:
            return
        self._told[progress.reference] = now
        try:
            self._news.put_nowait(progress)
        except asyncio.QueueFull:
            self.progress_dropped += 1

    async def _tell(self) -> None:
        while True:
            try:
                async with asyncio.timeout(LENT_SECONDS):
                    progress = await self._news.get()
            except TimeoutError:
                self._forget_loans()  # nobody pulls: what was lent is not kept for want of a look
            else:
                await self._publish(ImagePulling(progress=progress))
