"""Where the bytes of a program lie: built-ins, kept files and images behind one face."""

from __future__ import annotations

from conductor.managers.image import ImageManager
from conductor.managers.objects import ObjectStore
from conductor.model.image import ImageKind
from conductor.model.kernel import Bytecode, ImageObject, PathObject

__all__ = ["Bytecodes"]


class Bytecodes:
    """Find files for the kernel daemon and for the wasm runtime; pulls nothing."""

    def __init__(self, *, objects: ObjectStore, images: ImageManager) -> None:
        self._objects, self._images = objects, images

    def path_of(self, bytecode: Bytecode) -> tuple[str, str]:
        """Answer path and digest of the file itself. Raises `ObjectUnreadable`, `NotFound`, or why an image is not here.

        An eBPF object of an image is copied to where the daemon can read it: the image store is the agent's alone.
        """
        if not isinstance(bytecode, ImageObject):
            return self._objects.path_of(bytecode)
        held = self._images.file_of(bytecode)
        if held.kind is ImageKind.WASM:
            return str(held.path), held.content
        return self._objects.path_of(PathObject(path=str(held.path)))
