"""Maps of one program used by another: where daemons differ, the difference is named."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from conductor.bpfman.choice import Mode
from conductor.errors import NotSupported
from tests.bpfman.conftest import fake_kernel, fake_world, road
from tests.fakes.bpfman_daemon import Manners, serving


async def share(folder: Path, manners: Manners) -> tuple[tuple[int, ...], tuple[int, ...]]:
    socket = folder / ("loader.sock" if manners is Manners.LOADER else "bpfman.sock")
    mode: Mode = "embedded" if manners is Manners.LOADER else "bpfman"
    async with serving(socket, fake_kernel(), manners), road(folder, mode) as kernel:
        w = fake_world(kernel)
        (owner,) = await kernel.load(w.load(w.first))
        (guest,) = await kernel.load(replace(w.load(w.second), map_owner=owner.id))
        return owner.map_ids, guest.map_ids


@pytest.mark.parametrize("manners", [Manners.LOADER, Manners.GO])
def test_map_owner_lends_its_maps(tmp_path: Path, manners: Manners) -> None:
    lent, borrowed = asyncio.run(share(tmp_path, manners))
    assert lent == borrowed


def test_rust_daemon_shares_no_maps_between_loads(tmp_path: Path) -> None:
    with pytest.raises(NotSupported, match="does not share maps"):
        asyncio.run(share(tmp_path, Manners.RUST))
