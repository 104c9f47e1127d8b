"""The Registry Manager: what can be loaded here, built-in programs and wasm modules, with their declared needs."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol

from conductor.errors import ConductorError, ObjectUnreadable
from conductor.model.agent import Available
from conductor.model.grants import MapNeed
from conductor.model.image import ImageKind, ImageStatus
from conductor.model.metrics import MetricSpec
from conductor.model.program import ProgramType
from conductor.ports import ModuleNeeds, ModuleReader

__all__ = ["Available", "Declared", "ModuleImages", "RegistryManager", "latest"]

MODULES: Final = 128
"""Modules that are listed, and remembered."""
DECLARED_BYTES: Final = 16 << 10
"""Of metrics and settings of one module: all of them go into one answer of at most 4 MiB."""


class Declared(Protocol):
    """What a built-in says of itself."""

    @property
    def name(self) -> str:
        """Its stem."""
        ...

    @property
    def description(self) -> str:
        """One sentence."""
        ...

    @property
    def needs(self) -> tuple[MapNeed, ...]:
        """Maps it cannot do without."""
        ...

    @property
    def metrics(self) -> tuple[MetricSpec, ...]:
        """Families it writes."""
        ...

    @property
    def config_schema(self) -> Mapping[str, Any]:
        """JSON schema of its config."""
        ...


class ModuleImages(Protocol):
    """The images that are here."""

    def images(self) -> tuple[ImageStatus, ...]:
        """List them."""
        ...

    def located(self, content: str) -> Path | None:
        """Where a file lies, by its own digest; that is no use of it."""
        ...


class RegistryManager:
    """Own the list of what can be loaded: the built-ins, and wasm modules of the images that are here."""

    def __init__(
        self, *, builtins: Sequence[Declared], images: ModuleImages | None = None, read: ModuleReader | None = None
    ) -> None:
        self._builtins, self._images, self._read = tuple(builtins), images, read
        self._known: OrderedDict[str, Available] = OrderedDict()
        """By digest of the module: no file is read twice."""
        self._reading = asyncio.Lock()

    async def available(self) -> tuple[Available, ...]:
        """List what can be loaded: built-ins, then modules by the reference that loads them."""
        builtins = tuple(_available(builtin) for builtin in sorted(self._builtins, key=lambda b: b.name))
        if self._images is None or self._read is None:
            return builtins
        async with self._reading:
            modules = [await self._module(image, self._images, self._read) for image in latest(self._images.images())]
        return (*builtins, *(module for module in modules if module is not None))

    async def _module(self, image: ImageStatus, images: ModuleImages, read: ModuleReader) -> Available | None:
        """What a module declares; None where it went meanwhile."""
        known = self._known.get(image.content)
        if known is None:
            path = images.located(image.content)
            if path is None:
                return None
            try:
                known = _module(await read(path, image.content), image)
            except ConductorError as error:
                known = Available(name="", type=ProgramType.WASM, description=f"cannot be loaded: {error}")
                if isinstance(error, ObjectUnreadable):  # it may come back, whole
                    return replace(known, name=image.reference)
        self._known[image.content] = known
        self._known.move_to_end(image.content)
        while len(self._known) > MODULES:
            self._known.popitem(last=False)
        return replace(known, name=image.reference)


def _module(needs: ModuleNeeds, image: ImageStatus) -> Available:
    told = Available(
        name="", type=ProgramType.WASM, description=f"WebAssembly module of {image.size} bytes", needs=needs.maps
    )
    if _length(needs) > DECLARED_BYTES:
        more = "what it says of its metrics and settings is too long to list"
        return replace(told, description=f"{told.description}; {more}")
    return replace(told, metrics=needs.metrics, config_schema=needs.config_schema)


def latest(images: Iterable[ImageStatus]) -> list[ImageStatus]:
    """Choose of each reference to wasm modules the image that was pulled last; of very many the latest."""
    newest: dict[str, ImageStatus] = {}
    for image in sorted(images, key=lambda one: one.pulled):
        if image.kind is ImageKind.WASM:
            newest.pop(image.reference, None)
            newest[image.reference] = image
    return sorted(list(newest.values())[-MODULES:], key=lambda one: one.reference)


def _length(needs: ModuleNeeds) -> int:
    metrics = sum(len(metric.name) + len(metric.help) for metric in needs.metrics)
    return metrics + len(json.dumps(dict(needs.config_schema)))


def _available(builtin: Declared) -> Available:
    return Available(
        name=builtin.name,
        type=ProgramType.BUILTIN,
        description=builtin.description,
        needs=builtin.needs,
        metrics=builtin.metrics,
        config_schema=builtin.config_schema,
    )
