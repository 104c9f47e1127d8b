"""Digests for wishes that name an image by its tag: pulled once, then written into the wish for good."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from conductor.errors import ConductorError
from conductor.managers.book import WishBook
from conductor.managers.image import ImageManager
from conductor.model.ids import Name
from conductor.model.manifest import KERNEL_PROGRAM, kind_of
from conductor.model.program import ProgramSpec, Source
from conductor.plan.backoff import delay
from conductor.plan.images import image_of, kind_of_image, with_image
from conductor.plan.merge import Held, Key

__all__ = ["KernelImages", "Pins"]

HOPELESS_SECONDS = 300.0
"""Between pulls that time alone does not mend: a policy or a registry may have been set right."""
log = logging.getLogger(__name__)


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

    async def settle(self, source: Source, spec: ProgramSpec) -> bool:
        """Bring a wish's image here; answer whether the wish became another, pinned one.

        Raises what a pull does. A wish that changed meanwhile is left alone.
        """
        image = image_of(spec)
        if image is None:
            return False
        pinned, note = await self.images.pin(image, kind_of_image(spec))
        if note:
            self.note(spec.name, note)
        if pinned == image:
            return False
        key: Key = (kind_of(spec), spec.name)
        wish = self.book.of(source).get(key)
        if wish is None or wish.spec != spec:
            return True
        if await self.book.swap(source, key, wish, replace(wish, spec=with_image(spec, pinned))):
            self.follow()
        return True


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
    _going: dict[Key, tuple[ProgramSpec, asyncio.Task[None]]] = field(default_factory=dict)

    async def run(self) -> None:
        """Follow the wishes; runs for ever."""
        async with asyncio.TaskGroup() as group:
            while True:
                self.book.moved.clear()
                self.hold()
                self._follow(group)
                await self.book.moved.wait()

    def _follow(self, group: asyncio.TaskGroup) -> None:
        lacking = {
            key: held
            for key, held in self.book.merged.held.items()
            if key[0] == KERNEL_PROGRAM and not self.pins.is_settled(held.wish.spec)
        }
        for key, (spec, task) in tuple(self._going.items()):
            if task.done() or key not in lacking or lacking[key].wish.spec != spec:
                task.cancel()
                del self._going[key]
        for key in lacking.keys() - self._going.keys():
            task = group.create_task(self._fetch(lacking[key]), name=f"image:{key[1]}")
            self._going[key] = lacking[key].wish.spec, task

    async def _fetch(self, held: Held) -> None:
        failures, pause = 0, 0.0
        while True:
            try:
                await self.pins.settle(held.source, held.wish.spec)
            except ConductorError as error:
                failures += 1
                pause = delay(failures, self.jitter()) if error.retry else HOPELESS_SECONDS
            except Exception:
                log.exception("the image of kernel program %s could not be pulled", held.wish.spec.name)
                pause = HOPELESS_SECONDS
            else:
                return
            finally:
                self.touch()
            await asyncio.sleep(pause)
