"""Which cgroup paths are containers."""

from __future__ import annotations

from pathlib import Path

import pytest

from conductor.managers.cgroups import container_of, v2_root, walk

ID = "0123456789abcdef" * 4
UID = "11111111-2222-3333-4444-555555555555"
SCORED = UID.replace("-", "_")


@pytest.mark.parametrize(
    ("path", "pod_uid"),
    [
        (f"docker/{ID}", ""),
        (f"system.slice/docker-{ID}.scope", ""),
        (f"machine.slice/libpod-{ID}.scope", ""),
        (f"kubepods/burstable/pod{UID}/{ID}", UID),
        (
            f"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{SCORED}.slice/cri-containerd-{ID}.scope",
            UID,
        ),
        (f"kubepods.slice/kubepods-pod{SCORED}.slice/crio-{ID}.scope", UID),
        (f"kubepods/besteffort/pod{'a' * 32}/{ID}", "a" * 32),
        (f"docker/{ID}/init.scope", ""),
    ],
)
def test_containers(path: str, pod_uid: str) -> None:
    container = container_of(path, 7)
    assert container is not None
    assert (container.id, container.pod_uid, container.cgroup_id, container.path) == (ID, pod_uid, 7, path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "system.slice/ssh.service",
        f"kubepods/burstable/pod{UID}",
        f"machine.slice/libpod-conmon-{ID}.scope",
        f"crio-conmon-{ID}.scope",
        f"docker/{ID[:-1]}",
        "user.slice/user-1000.slice",
    ],
)
def test_what_is_no_container(path: str) -> None:
    assert container_of(path, 7) is None


def test_a_hybrid_tree_has_its_v2_half_below_unified(tmp_path: Path) -> None:
    assert v2_root(tmp_path) is None
    (tmp_path / "unified").mkdir()
    (tmp_path / "unified" / "cgroup.controllers").touch()
    assert v2_root(tmp_path) == tmp_path / "unified"


def test_a_walk_is_bounded_and_says_so(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / str(number)).mkdir()
    assert walk(tmp_path, most=5).cut_short is False
    found = walk(tmp_path, most=4)
    assert (found.cut_short, len(found.seen)) == (True, 4)
