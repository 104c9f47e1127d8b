"""Whether a wish that is kept is the one that is asked for: what it names may have been pinned meanwhile."""

from __future__ import annotations

from dataclasses import replace

from conductor.model.grants import MapGrant
from conductor.model.kernel import ImageObject, KernelProgramSpec, PathObject
from conductor.model.program import ProgramSpec, UserProgramSpec, WasmSource

__all__ = ["is_same"]


def is_same(asked: ProgramSpec, kept: ProgramSpec) -> bool:
    """Compare without what was filled in when it was kept: digests, and the access of grants that left it open."""
    if isinstance(asked, KernelProgramSpec) and isinstance(kept, KernelProgramSpec):
        wants, has = asked.bytecode, kept.bytecode
        if isinstance(wants, ImageObject | PathObject) and isinstance(has, ImageObject | PathObject):
            return asked == replace(kept, bytecode=_unpinned(has, wants))
        return asked == kept
    if isinstance(asked, UserProgramSpec) and isinstance(kept, UserProgramSpec):
        return asked == replace(_unpinned_module(kept, asked), maps=_reopened(kept, asked))
    return False


def _unpinned_module(kept: UserProgramSpec, asked: UserProgramSpec) -> UserProgramSpec:
    if isinstance(kept.source, WasmSource) and isinstance(asked.source, WasmSource):
        return replace(kept, source=WasmSource(location=_unpinned(kept.source.location, asked.source.location)))
    return kept


def _unpinned(kept: ImageObject | PathObject, asked: ImageObject | PathObject) -> ImageObject | PathObject:
    return kept if asked.digest else replace(kept, digest="")


def _reopened(kept: UserProgramSpec, asked: UserProgramSpec) -> tuple[MapGrant, ...]:
    open_ = {grant.name: grant for grant in asked.maps if grant.as_needed}
    return tuple(
        replace(grant, access=open_[grant.name].access, as_needed=True) if grant.name in open_ else grant
        for grant in kept.maps
    )
