"""Images in wishes: which one a wish names, and what a digest that was found for one wish means for the next."""

from __future__ import annotations

from dataclasses import replace

from conductor.model.image import ImageKind
from conductor.model.kernel import ImageObject, KernelProgramSpec, PullPolicy
from conductor.model.program import ProgramSpec, UserProgramSpec, WasmSource

__all__ = ["carried", "digest_of", "image_of", "kind_of_image", "with_image"]


def image_of(spec: ProgramSpec) -> ImageObject | None:
    """Answer the image that a wish names; None where it names a file or a built-in."""
    if isinstance(spec, KernelProgramSpec):
        return spec.bytecode if isinstance(spec.bytecode, ImageObject) else None
    location = spec.source.location if isinstance(spec.source, WasmSource) else None
    return location if isinstance(location, ImageObject) else None


def digest_of(spec: UserProgramSpec) -> str:
    """Answer what a wish's module is pinned to: the digest of its file, or of its image's manifest."""
    return spec.source.location.digest if isinstance(spec.source, WasmSource) else ""


def kind_of_image(spec: ProgramSpec) -> ImageKind:
    """What a wish's image must hold."""
    return ImageKind.BYTECODE if isinstance(spec, KernelProgramSpec) else ImageKind.WASM


def with_image(spec: ProgramSpec, image: ImageObject) -> ProgramSpec:
    """Answer the wish with another image in its place."""
    if isinstance(spec, UserProgramSpec):
        return replace(spec, source=WasmSource(location=image))
    return replace(spec, bytecode=image)


def carried(spec: ProgramSpec, before: ProgramSpec | None, *, anew: bool = False) -> ProgramSpec:
    """Answer a wish with the digest that the one before was pinned to, where both name the same tag.

    `anew` is an Update: the pull policy acts then, so `Always` carries nothing over.
    """
    image = image_of(spec)
    old = image_of(before) if before is not None else None
    if image is None or old is None or image.digest or not old.digest:
        return spec
    if image.url != old.url or (anew and image.pull_policy is PullPolicy.ALWAYS):
        return spec
    return with_image(spec, replace(image, digest=old.digest))
