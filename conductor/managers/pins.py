"""Digests for wishes that name an image by its tag: pulled once, then written into the wish for good."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field, replace

from conductor.errors import ConductorError
from conductor.managers.book import WishBook
from conductor.managers.image import ImageManager
from conductor.model.ids import Name
from conductor.model.kernel import ImageObject, PullPolicy
from conductor.model.manifest import KERNEL_PROGRAM, kind_of
from conductor.model.program import ProgramSpec, Source
from conductor.plan.backoff import HOPELESS_SECONDS, is_mended_elsewhere, pause_after
from conductor.plan.images import image_of, kind_of_image, with_image
from conductor.plan.merge import Held, Key

__all__ = ["KernelImages", "Pins", "Settled"]

AGAIN = "it is tried again by itself, and at once when it is applied again"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What became of a wish whose image is here."""

    note: str = ""
    """What whoever asked should know, such as that a tag moved."""
    moved: bool = False
    """The wish is another one now: a pinned one, or what somebody asked for meanwhile."""


@dataclass(frozen=True, slots=True)
class _Going:
    """A wish whose image is fetched, or fetched again later."""

    spec: ProgramSpec
    task: asyncio.Task[None]
    again: asyncio.Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """Pull what a wish names and write the digest into it; `follow` is told after an edit."""

    book: WishBook
    images: ImageManager
    follow: Callable[[], None]
    note: Callable[[Name, str], None]

    def is_settled(self, spec: ProgramSpec) -> bool:
        """Whether a wish can be brought up without a registry."""
        image = image_of(spec)
        return image is None or self.images.is_here(image)

    async def settle(self, source: Source, spec: ProgramSpec) -> Settled:
        """Bring a wish's image here; raises what a pull does. A wish that changed meanwhile is left alone."""
        image = image_of(spec)
        if image is None:
            return Settled()
        pinned, note = await self._pin(image, spec)
        if pinned == image:
            return Settled(note=note)
        key: Key = (kind_of(spec), spec.name)
        wish = self.book.of(source).get(key)
        if (
            wish is not None
            and wish.spec == spec
            and await self.book.swap(source, key, wish, replace(wish, spec=with_image(spec, pinned)))
        ):
            self.follow()
        return Settled(note=note, moved=True)

    def let_go(self) -> None:
        """Have it looked again what must be held: something does not run any more."""
        self.book.moved.set()

    async def confirm(self, spec: ProgramSpec, *, looks: bool = True) -> str:
        """Hold what an update keeps against the image policy; answer what is to be said of it.

        `looks` is whether to ask where its tag went, which takes up to 3 s. Raises what a pull does.
        """
        image = image_of(spec)
        if image is None or not self.images.is_here(image):
            return ""
        _, note = await self._pin(image if looks else replace(image, pull_policy=PullPolicy.NEVER), spec)
        return note

    async def _pin(self, image: ImageObject, spec: ProgramSpec) -> tuple[ImageObject, str]:
        pinned, note = await self.images.pin(image, kind_of_image(spec), name=spec.name)
        if note:
            self.note(spec.name, note)
        return pinned, note


@dataclass(slots=True)
class KernelImages:
    """Own the pulls of kernel programs' images: one task per wish that lacks its bytes, until it has them or is gone."""

    book: WishBook
    pins: Pins
    hold: Callable[[], None]
    """Keep from eviction what is wished now."""
    touch: Callable[[], None]
    """Tell the kernel half that something can be tried, or failed."""
    jitter: Callable[[], float] = random.random
    _going: dict[Key, _Going] = field(default_factory=dict)

    async def run(self) -> None:
        """Follow the wishes; runs for ever."""
        async with asyncio.TaskGroup() as group:
            while True:
                self.book.moved.clear()
                self.hold()
                self._follow(group)
                await self.book.moved.wait()

    def try_again(self, keys: Collection[Key]) -> None:
        """Do not wait any longer with those that failed."""
        for key in keys:
            if key in self._going:
                self._going[key].again.set()

    def _follow(self, group: asyncio.TaskGroup) -> None:
        lacking = {
            key: held
            for key, held in self.book.merged.held.items()
            if key[0] == KERNEL_PROGRAM and not self.pins.is_settled(held.wish.spec)
        }
        for key, going in tuple(self._going.items()):
            if going.task.done() or key not in lacking or lacking[key].wish.spec != going.spec:
                going.task.cancel()
                del self._going[key]
        for key in lacking.keys() - self._going.keys():
            again = asyncio.Event()
            task = group.create_task(self._fetch(lacking[key], again), name=f"image:{key[1]}")
            self._going[key] = _Going(lacking[key].wish.spec, task, again)

    async def _fetch(self, held: Held, again: asyncio.Event) -> None:
        failures, pause = 0, 0.0
        while True:
            try:
                await self.pins.settle(held.source, held.wish.spec)
            except ConductorError as error:
                failures += 1
                pause = pause_after(error, failures, self.jitter())
                if is_mended_elsewhere(error) and AGAIN not in str(error):
                    error.args = (f"{error}; {AGAIN}",)
            except Exception:
                log.exception("the image of kernel program %s could not be pulled", held.wish.spec.name)
                pause = HOPELESS_SECONDS
            else:
                return
            finally:
                self.touch()
            again.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await again.wait()
