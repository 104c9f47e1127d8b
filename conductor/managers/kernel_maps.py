"""From a grant to the pins where its map may lie."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from conductor.errors import ConductorError, MapMissing, NotAllowed, NotFound
from conductor.model.grants import Access, MapGrant
from conductor.model.kernel import KernelFunctionStatus
from conductor.model.status import KernelStatus
from conductor.ports import MapHandle, MapOpener

__all__ = ["functions_of", "open_granted"]

KERNEL_NAME = 15
"""Characters of a program's name that the kernel keeps."""


def functions_of(grant: MapGrant, programs: Collection[KernelStatus]) -> tuple[KernelFunctionStatus, ...]:
    """Answer the loaded programs that a grant may mean, the one it names first.

    A grant names a kernel program of ours, or, as clients of the first implementation do, a function in one or the
    15 characters of it that the kernel keeps. Raises `NotFound`.
    """
    wanted = grant.kernel_program
    for status in programs:
        if status.spec.name == wanted:
            return status.functions
    for status in programs:
        for spec in status.spec.programs:
            if wanted in (spec.name, spec.name[:KERNEL_NAME]):
                return tuple(sorted(status.functions, key=lambda function: function.name != spec.name))
    raise NotFound(f"no kernel program is called {wanted}; `conductor kernel list` shows those that are")


def open_granted(grant: MapGrant, functions: Collection[KernelFunctionStatus], open_map: MapOpener) -> MapHandle:
    """Open the granted map from the first pin that is there. Raises `MapMissing`, `NotAllowed`, `KernelRefused`."""
    if not functions:
        raise MapMissing(f"kernel program {grant.kernel_program} is not loaded")
    folders = list(dict.fromkeys(function.map_pin_path for function in functions if function.map_pin_path))
    for folder in folders:
        try:
            return open_map(Path(folder) / grant.map, grant.access)
        except MapMissing:
            continue
        except NotAllowed as error:
            if _is_closed(Path(folder) / grant.map, open_map):
                raise MapMissing(str(error)) from error  # an assistant may still give it: wait
            raise
    raise MapMissing(
        f"kernel program {grant.kernel_program} has no map {grant.map} in {' or '.join(folders)}; "
        "where the daemon's pins lie elsewhere for the agent, say so by --pin-prefix"
    )


def _is_closed(pin: Path, open_map: MapOpener) -> bool:
    """Whether we cannot even read it: then it was not given to us at all, or not yet."""
    try:
        open_map(pin, Access.READ).close()
    except ConductorError:
        return True
    return False
