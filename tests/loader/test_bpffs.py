"""Whether what the loader mounts outlives its mount namespace."""

from __future__ import annotations

from pathlib import Path

import pytest

from conductor.loader.bpffs import is_passed_on

LINE = "{} 98 0:47 / /run/ebpf{} rw,relatime{} - bpf bpf rw,mode=750"


@pytest.mark.parametrize(
    ("optional", "passed_on"), [(" shared:7", True), ("", False), (" master:3", False), (" shared:9 master:3", False)]
)
def test_a_mount_with_peers_outlives_the_namespace(optional: str, passed_on: bool) -> None:
    other = LINE.format(1, "/other", " shared:1")
    assert is_passed_on(Path("/run/ebpf/b pf"), "\n".join([other, LINE.format(2, "/b\\040pf", optional)])) is passed_on


def test_the_last_mount_at_a_place_counts() -> None:
    lines = [LINE.format(1, "", " shared:1"), LINE.format(2, "", "")]
    assert not is_passed_on(Path("/run/ebpf"), "\n".join(lines))


def test_what_is_not_mounted_is_not_passed_on() -> None:
    assert not is_passed_on(Path("/run/ebpf"), "")
