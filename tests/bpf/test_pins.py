from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from conductor.bpf import links, pins
from conductor.bpf.info import link_info, program_info
from conductor.bpf.maps import open_map
from conductor.bpf.objects import BpfObject
from conductor.errors import AlreadyExists, KernelRefused, MapMissing, NotAllowed, NotFound
from conductor.model.grants import Access
from conductor.net.netns import inside

Load = Callable[..., BpfObject]
pytestmark = pytest.mark.kernel


def test_pins_outlive_their_object(loaded: Load, bpffs: Path) -> None:
    counters = loaded("counters")
    expected = program_info(counters.program_fd("on_enter")).id
    pins.pin(counters.program_fd("on_enter"), bpffs / "program")
    pins.pin(counters.map_fd("by_pid"), bpffs / "by_pid")
    counters.close()
    with pins.open_program(bpffs / "program") as program, open_map(bpffs / "by_pid", Access.READ_WRITE) as by_pid:
        assert program_info(program.fileno()).id == expected
        by_pid.update(b"\1\0\0\0", bytes(16))
        assert by_pid.entries().count == 1


def test_a_pinned_link_stays_attached_until_unpinned(loaded: Load, bpffs: Path) -> None:
    counters = loaded("counters", "on_enter")
    with links.tracepoint(counters.program_fd("on_enter"), "raw_syscalls/sys_enter") as link:
        pins.pin(link.fileno(), bpffs / "link")
    with pins.open_link(bpffs / "link") as again:
        assert link_info(again.fileno()).prog_id == program_info(counters.program_fd("on_enter")).id
    pins.unpin_link(bpffs / "link")
    pins.unpin_link(bpffs / "link")
    with links.tracepoint(counters.program_fd("on_enter"), "raw_syscalls/sys_enter"):
        pass  # would be EEXIST, were the first still attached


def test_the_place_of_an_unpinned_link_is_free_at_once(loaded: Load, bpffs: Path, netns: Callable[[], str]) -> None:
    hooks = loaded("hooks", "on_xdp")
    program, lo = hooks.program_fd("on_xdp"), 1

    def come_and_go() -> None:
        for _ in range(20):
            with links.xdp(program, lo, links.XdpMode.GENERIC) as link:
                pins.pin(link.fileno(), bpffs / "link")
            pins.unpin_link(bpffs / "link")

    inside(f"/run/netns/{netns()}", come_and_go)


def test_a_pin_that_is_no_link_goes_too(loaded: Load, bpffs: Path) -> None:
    pins.pin(loaded("counters").map_fd("by_pid"), bpffs / "x")
    pins.unpin_link(bpffs / "x")
    assert not (bpffs / "x").exists()


def test_a_name_in_use_is_said(loaded: Load, bpffs: Path) -> None:
    counters = loaded("counters")
    pins.pin(counters.map_fd("by_pid"), bpffs / "x")
    with pytest.raises(AlreadyExists, match="x failed"):
        pins.pin(counters.map_fd("total"), bpffs / "x")


def test_a_pin_outside_a_bpffs_is_refused(loaded: Load, tmp_path: Path) -> None:
    with pytest.raises(KernelRefused, match="lies in no bpffs"):
        pins.pin(loaded("counters").map_fd("by_pid"), tmp_path / "x")


def test_a_name_with_a_dot_is_explained(loaded: Load, bpffs: Path) -> None:
    with pytest.raises(KernelRefused, match="no dots"):
        pins.pin(loaded("counters").map_fd("by_pid"), bpffs / "x.y")


def test_what_is_not_there_is_named(bpffs: Path) -> None:
    with pytest.raises(MapMissing, match="no pin"):
        open_map(bpffs / "gone", Access.READ)
    with pytest.raises(NotFound, match="no pin"):
        pins.open_program(bpffs / "gone")
    with pytest.raises(NotFound, match="no pin"):
        pins.open_link(bpffs / "gone" / "deeper")


def test_a_pin_of_another_kind_is_refused_and_closed(loaded: Load, bpffs: Path) -> None:
    pins.pin(loaded("counters").program_fd("on_enter"), bpffs / "program")
    before = set(Path("/proc/self/fd").iterdir())
    with pytest.raises(KernelRefused, match="is a bpf-prog, not a bpf-map"):
        open_map(bpffs / "program", Access.READ)
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_a_read_grant_cannot_write(loaded: Load, bpffs: Path) -> None:
    pins.pin(loaded("counters").map_fd("by_pid"), bpffs / "m")
    with open_map(bpffs / "m", Access.READ) as by_pid:
        with pytest.raises(NotAllowed, match="read-only"):
            by_pid.update(bytes(4), bytes(16))
        with pytest.raises(NotAllowed, match="read-only"):
            by_pid.delete(bytes(4))


def test_a_bpffs_is_told_from_other_file_systems(bpffs: Path, tmp_path: Path) -> None:
    assert pins.is_bpffs(bpffs)
    assert not pins.is_bpffs(tmp_path)
    assert not pins.is_bpffs(tmp_path / "missing")


def test_mounting_sets_mode_and_group(tmp_path: Path) -> None:
    place = tmp_path / "fs"
    place.mkdir()
    pins.mount_bpffs(place, mode=0o750, gid=65532)
    try:
        assert pins.is_bpffs(place)
        status = place.stat()
        assert (status.st_mode & 0o777, status.st_gid) == (0o750, 65532)
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_mounting_nowhere_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="mounting a bpffs"):
        pins.mount_bpffs(tmp_path / "missing")
