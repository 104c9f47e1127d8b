"""Whether a new version of a kernel program takes over the maps of the version before.

All maps of a Load or none: a daemon that is given a map owner uses each of its maps that the new object names. So one
map of the same name and another layout gives the new version maps of its own. Global variables (`.data`, `.bss`,
`.rodata`) are never handed over. While both versions are attached, both count into the maps that they share: what
happens in those milliseconds is counted twice, which is the price of missing nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from conductor.plan.kernel_sets import KernelWant, LoadedSet

__all__ = ["FRESH", "Heritage", "handover"]

FRESH = "ebpfconductor.io/fresh-maps"
"""Label of a wish: `"true"` gives each new version maps of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heritage:
    """What a new version takes over."""

    source: LoadedSet | None = None
    """The set whose maps it takes over; None: it begins with maps of its own."""
    loss: str = ""
    """Why it begins anew, where that loses what the old maps hold and nobody asked for it."""
    names: frozenset[str] = frozenset()
    """Maps that are taken over, as far as they are known."""
    is_whole: bool = False
    """Whether its maps are the very same, none more and none less: who borrows them may go on with them."""


def handover(want: KernelWant, old: LoadedSet | None, layouts: Mapping[str, str] | None) -> Heritage:
    """Decide from layouts; where one side's are not known (None), types and sizes decide, which the daemon compares."""
    if old is None or not old.this_boot or old.lender or want.spec.map_owner is not None:
        return Heritage()  # nothing is there, or it is another's
    if want.spec.metadata.get(FRESH, "").lower() == "true":
        return Heritage()
    if layouts is None or old.layouts is None:
        return Heritage(source=old)
    common = layouts.keys() & old.layouts.keys()
    if not common:
        return Heritage()
    of_one_load = sorted(name for name in common if not (layouts[name] and old.layouts[name]))
    if of_one_load:
        return Heritage(loss=f"map {of_one_load[0]} holds programs or maps of its own version")
    other = sorted(name for name in common if layouts[name] != old.layouts[name])
    if other:
        return Heritage(loss=f"map {other[0]} has another layout now")
    return Heritage(source=old, names=frozenset(common), is_whole=layouts == old.layouts)
