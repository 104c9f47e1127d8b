"""Loads of kernel programs: stamped, and with the maps of the version before where they can be handed over."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress

from conductor.errors import ConductorError, KernelAway, NotFound, ObjectUnreadable, VerifierRejected
from conductor.managers.kernel_counters import KernelCounters
from conductor.model.ids import Name, ProgramId
from conductor.plan.kernel_handover import Heritage, handover
from conductor.plan.kernel_sets import KernelWant, LoadedSet, stamp
from conductor.ports import Kernel, KernelLoad, KernelLoaded, MapLayouts

__all__ = ["KernelLoads"]


class KernelLoads:
    """Own loading; nothing else calls it. `remark` is told when a new version lost what the maps before held."""

    def __init__(
        self,
        *,
        kernel: Kernel,
        owner: str,
        boot_id: str,
        layouts: MapLayouts | None,
        counters: KernelCounters,
        note: Callable[[Name, str], None],
        remark: Callable[[Name, str], None],
    ) -> None:
        self._kernel, self._owner, self._boot_id = kernel, owner, boot_id
        self._layouts, self._counters = layouts, counters
        self._note, self._remark = note, remark

    async def load(
        self, want: KernelWant, lender: LoadedSet | None, before: LoadedSet | None = None
    ) -> tuple[KernelLoaded, ...]:
        """Load all programs of a wish or none, with the maps of `before` if they can be taken over.

        Raises what the road raises. A daemon that will not hand maps over is asked once more without.
        """
        layouts = await self._layouts_of(want)
        heritage = handover(want, before, layouts)
        loss = heritage.loss
        if heritage.source is not None:
            try:
                return await self._as_heir(want, heritage, heritage.source, layouts)
            except (KernelAway, VerifierRejected):
                raise
            except ConductorError as error:
                loss = f"the maps before could not be taken over: {error}"
        loaded = await self._load(
            want,
            owner=None if lender is None else lender.members[0].id,
            lender="" if lender is None else lender.maps,
            layouts=layouts,
        )
        if loss:
            self._remark(want.name, f"this version began with maps of its own, for {loss}")
        return loaded

    async def _as_heir(
        self, want: KernelWant, heritage: Heritage, source: LoadedSet, layouts: Mapping[str, str] | None
    ) -> tuple[KernelLoaded, ...]:
        """Load with the maps of the version before. Raises `_NotShared` when the daemon made others all the same.

        That shows by ids alone where it is known that there are maps to share: global variables have ids too.
        """
        maps = source.maps if heritage.is_whole else ""
        loaded = await self._load(want, owner=source.members[0].id, maps=maps, layouts=layouts)
        before = {id_ for member in source.members for id_ in member.map_ids}
        now = {id_ for program in loaded for id_ in program.map_ids}
        if heritage.names and before and now and not before & now:
            await self._drop(loaded)
            raise _NotShared("the daemon made new ones without a word")
        self._counters.handovers += 1
        names = ", ".join(sorted(heritage.names)) or "those of the same names"
        self._note(want.name, f"took over maps of program {source.members[0].id}: {names}")
        return loaded

    async def _load(
        self,
        want: KernelWant,
        *,
        owner: ProgramId | None,
        layouts: Mapping[str, str] | None,
        lender: str = "",
        maps: str = "",
    ) -> tuple[KernelLoaded, ...]:
        metadata = stamp(
            want,
            owner=self._owner,
            boot_id=self._boot_id,
            token=secrets.token_hex(8),
            lender=lender,
            maps=maps,
            layouts=layouts,
        )
        loaded = await self._kernel.load(
            KernelLoad(
                path=want.path,
                programs=want.spec.programs,
                global_data=want.spec.global_data,
                map_owner=owner,
                metadata=metadata,
            )
        )
        self._counters.loads += 1
        self._note(want.name, f"loaded {', '.join(f'{p.name} as {p.id}' for p in loaded)}")
        return loaded

    async def _drop(self, loaded: tuple[KernelLoaded, ...]) -> None:
        for program in reversed(loaded):
            with suppress(NotFound):
                await self._kernel.unload(program.id)
            self._counters.unloads += 1

    async def _layouts_of(self, want: KernelWant) -> Mapping[str, str] | None:
        """Read the layouts of an object's maps; None where it does not tell: the daemon then compares sizes."""
        if self._layouts is None:
            return None
        try:
            return await self._layouts(want.path)
        except ObjectUnreadable:
            return None


class _NotShared(ConductorError):
    """Maps were asked for and others came. Raised and caught here."""

    reason = "MapsNotShared"
