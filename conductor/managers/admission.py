"""What is checked before a wish is kept: a wish that makes no sense leaves nothing behind."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from conductor.errors import ConductorError, InvalidSpec, ModuleUnusable, ObjectUnreadable
from conductor.managers.objects import ObjectStore
from conductor.managers.opened import Maker
from conductor.model.image import ImageKind, Reference
from conductor.model.kernel import BuiltinObject, ImageObject, KernelProgramSpec, PathObject
from conductor.model.manifest import manifest_of, parse_manifest
from conductor.model.program import ProgramSpec, UserProgramSpec, WasmSource
from conductor.plan.conditions import as_asked
from conductor.plan.halves import Resolved

__all__ = ["Admission", "ObjectCheck"]


class ObjectCheck(Protocol):
    """Look whether a file is an object for the kernel at all; `name` is what whoever asked calls it.

    Raises `ObjectUnreadable`.
    """

    async def __call__(self, path: str, name: str) -> None:
        """Raise where it is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Check wishes and pin the files they name."""

    maker: Maker
    objects: ObjectStore
    check_object: ObjectCheck | None = None

    async def check(self, spec: ProgramSpec) -> tuple[ProgramSpec, Resolved | None]:
        """Answer the wish with its files pinned by digest and its grants settled, and what was found of its maps.

        Raises `InvalidSpec`, `NotFound`, `ObjectUnreadable`, `MetricClash`, `StateUnwritable`.
        """
        _check_round_trip(spec)
        if not isinstance(spec, UserProgramSpec):
            return await self._pin_object(spec), None
        spec = await self._pin_module(spec)
        if not self.maker.pins.is_settled(spec):
            return spec, None  # its life pulls the image first, and tries again when that fails
        try:
            resolved = await self.maker.resolve(spec)
        except (ModuleUnusable, ObjectUnreadable) as exc:
            raise self._named(exc, spec) from exc
        return (replace(spec, maps=resolved.grants) if spec.maps else spec), resolved

    async def _pin_module(self, spec: UserProgramSpec) -> UserProgramSpec:
        if not isinstance(spec.source, WasmSource):
            return spec
        self.maker.runtime(spec)
        location = spec.source.location
        if isinstance(location, ImageObject):
            Reference.parse(location.url, "bytecode.image.url")
            if any(grant.as_needed for grant in spec.maps) and not location.digest:
                location, _ = await self.maker.pins.images.pin(location, ImageKind.WASM, name=spec.name)
            return replace(spec, source=WasmSource(location=location))
        return replace(spec, source=WasmSource(location=await self.objects.pin(location)))

    def _named(self, error: ConductorError, spec: UserProgramSpec) -> ConductorError:
        """Say of which file an error is: by the path that was given, else by the digest that `Upload` answered."""
        location = spec.source.location if isinstance(spec.source, WasmSource) else None
        if not isinstance(location, PathObject):
            return error
        kept, _ = self.objects.path_of(location)
        asked = location.path or location.digest
        text = as_asked(str(error), kept=kept, asked=asked)
        return type(error)(text if asked in text else f"{asked}: {text}")

    async def _pin_object(self, spec: KernelProgramSpec) -> KernelProgramSpec:
        match spec.bytecode:
            case PathObject() as path:
                pinned = await self.objects.pin(path)
                if self.check_object is not None:
                    await self.check_object(self.objects.path_of(pinned)[0], pinned.path or pinned.digest)
                return replace(spec, bytecode=pinned)
            case BuiltinObject() as builtin:
                self.objects.path_of(builtin)
                return spec
            case ImageObject(url=url):
                Reference.parse(url, "spec.bytecode.image.url")
                return spec


def _check_round_trip(spec: ProgramSpec) -> None:
    """Refuse what could be kept and not read again after a restart."""
    if isinstance(spec, UserProgramSpec):  # what a grant leaves open is settled before it is kept
        spec = replace(spec, maps=tuple(replace(grant, as_needed=False) for grant in spec.maps))
    if parse_manifest(manifest_of(spec), unknown=[]) != spec:
        raise InvalidSpec(spec.name, "would not be the same after a restart; write it as a manifest would say it")
