"""RPCs about images: pull one before it is needed, list and prune what is here."""

from __future__ import annotations

from typing_extensions import override

from conductor.api import wire
from conductor.api.parts import Images
from conductor.proto.agent import v1 as pb

__all__ = ["ImageCalls"]


class ImageCalls(pb.AgentBase):
    """PullBytecode, ListImages, PruneImages."""

    _images: Images

    @override
    async def pull_bytecode(self, pull_bytecode_request: pb.PullBytecodeRequest) -> pb.PullBytecodeResponse:
        image = wire.image_from_wire(pull_bytecode_request.image, "image")
        await self._images.pull(image, wire.credentials_from_wire(pull_bytecode_request.image))
        return pb.PullBytecodeResponse()

    @override
    async def list_images(self, list_images_request: pb.ListImagesRequest) -> pb.ListImagesResponse:
        return pb.ListImagesResponse(images=[wire.image_status_to_wire(image) for image in self._images.images()])

    @override
    async def prune_images(self, prune_images_request: pb.PruneImagesRequest) -> pb.PruneImagesResponse:
        gone = await self._images.prune()
        return pb.PruneImagesResponse(images=[wire.image_status_to_wire(image) for image in gone])
