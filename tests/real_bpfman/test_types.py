"""Every program type of bpfman's API on each daemon; what this kernel refuses is told as such and leaves nothing."""

from __future__ import annotations

import pytest

from conductor.bpfman.flavour import Flavour
from conductor.bpfman.road import BpfmanRoad
from conductor.errors import ConductorError, KernelRefused, NotSupported
from conductor.model.kernel import KernelType, KprobeLink
from tests.real_bpfman.bed import OWNER, TYPES, Bed
from tests.real_bpfman.eyes import eventually

pytestmark = [pytest.mark.kernel, pytest.mark.slow]
AT_LOAD, AT_ATTACH = ("xdp", "tc", "fentry", "fexit", "lsm"), ("kprobe", "kret")
LIVE = {"enter", "exit", "tcx", "uprobe", "uret"}
"""Run in test_links.py and test_namespaces.py, where xdp and tc do too."""


def test_no_type_is_left_out() -> None:
    assert {*AT_LOAD, *AT_ATTACH, *LIVE} == TYPES.keys() - {"bad"}
    assert set(TYPES.values()) == set(KernelType)


@pytest.mark.parametrize("stem", AT_LOAD)
def test_what_this_kernel_refuses_at_load(bed: Bed, stem: str) -> None:
    """No trampolines here: fentry, fexit and LSM; XDP and TC where a dispatcher stands before them."""

    async def story(road: BpfmanRoad) -> None:
        if bed.flavour is Flavour.LOADER and stem in ("xdp", "tc"):
            (program,) = await road.load(bed.load(stem))  # ours needs no dispatcher
            await road.unload(program.id)
            return
        with pytest.raises(ConductorError) as refused:
            await road.load(bed.load(stem))
        if bed.flavour is Flavour.LOADER:
            assert type(refused.value) is NotSupported
            assert "policy forbids this type" in str(refused.value)
        elif (bed.flavour, stem) == (Flavour.RUST, "lsm"):
            assert type(refused.value) is NotSupported
            assert "has no LSM" in str(refused.value)  # it would be taken for XDP
        else:
            assert type(refused.value) is KernelRefused
            assert "this kernel forbids programs of that type" in str(refused.value)
        assert await road.loaded({OWNER: bed.owner}) == ()
        eventually(bed.eyes.programs, {})

    bed.tell(story)


@pytest.mark.parametrize("stem", AT_ATTACH)
def test_what_this_kernel_refuses_at_attach(bed: Bed, stem: str) -> None:
    async def story(road: BpfmanRoad) -> None:
        (program,) = await road.load(bed.load(stem))
        with pytest.raises(ConductorError) as refused:
            await road.attach(program.id, TYPES[stem], KprobeLink(function="do_unlinkat"), "")
        expected = KernelRefused if bed.flavour is Flavour.GO else NotSupported
        assert type(refused.value) is expected, repr(refused.value)
        assert [link for p in await road.loaded({OWNER: bed.owner}) for link in p.links] == []
        assert bed.eyes.links() == []

    bed.tell(story)
