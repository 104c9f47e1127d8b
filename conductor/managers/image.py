"""The Image Manager's room: pulling, verifying, caching and evicting OCI images."""

from __future__ import annotations

from conductor.errors import NotYet
from conductor.model.kernel import ImageObject

__all__ = ["ImageManager"]


class ImageManager:
    """Own images of wasm modules and bytecode; this version has none and refuses to pull."""

    def images(self) -> tuple[ImageObject, ...]:
        """List cached images: none."""
        return ()

    async def pull(self, image: ImageObject) -> str:
        """Pull an image, answer its digest. Raises `NotYet`."""
        raise NotYet(f"image {image.url}: this version does not pull images; give a file (path) or a built-in")
