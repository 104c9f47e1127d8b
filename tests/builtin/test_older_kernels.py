"""What is attached on older kernels, tried on this one: totals are the same, some of them later."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conductor.builtin.kit.build import build, sources
from tests.builtin.conftest import KernelHalf
from tests.builtin.lan import Host, join, talk
from tests.builtin.world import eventually

pytestmark = pytest.mark.kernel

Lan = tuple[Host, Host]
Attach = Callable[..., Any]
KERNELS = [(5, 19), (6, 3), (6, 8)]


@pytest.fixture(scope="session")
def older_object(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kernel half as CO-RE makes it where tcp_probe does not name its socket."""
    if shutil.which("clang") is None or shutil.which("llvm-strip") is None:
        pytest.skip("needs clang and llvm-strip (Debian packages clang and llvm)")
    (source,) = (path for path in sources() if path.name == "service_map.bpf.c")
    target = tmp_path_factory.mktemp("older") / "service_map.bpf.o"
    build(source, target, "-DPROBE_TELLS=0")
    return target


def are(half: KernelHalf, lan: Lan, port: int, client: dict[str, int], server: dict[str, int]) -> None:
    for host, role, numbers in ((lan[0], "client", client), (lan[1], "server", server)):
        eventually(lambda h=host, r=role: half.pairs(h).get((r, port)), numbers)  # type: ignore[misc]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("sizes", [(1, 1), (400_000, 70_000), (0, 2_000_000)])
def test_totals_are_exact_once_a_connection_has_ended(
    attach: Attach, older_object: Path, lan: Lan, kernel: tuple[int, int], sizes: tuple[int, int]
) -> None:
    up, down = sizes
    with attach(path=older_object, kernel=kernel) as half, lan[1].listen() as listener:
        link = join(lan[0], listener, lan[1].v4)
        talk(link, up, down)
        link.close()
        client = {"sent": up, "received": down, "opened": 1, "active": 0}
        are(half, lan, link.port, client, client | {"sent": down, "received": up})


def test_one_that_only_sends_is_counted_at_its_sends(attach: Attach, older_object: Path, lan: Lan) -> None:
    with attach(path=older_object, kernel=(6, 3)) as half, lan[1].listen() as listener:
        link = join(lan[0], listener, lan[1].v4)
        for step in range(1, 11):
            talk(link, 5000, 0)
            client = {"sent": step * 5000, "received": 0, "opened": 1, "active": 1}
            are(half, lan, link.port, client, client | {"sent": 0, "received": step * 5000})
        link.close()


def test_an_older_connection_that_only_sends_is_found_at_a_send(attach: Attach, older_object: Path, lan: Lan) -> None:
    with lan[1].listen(backlog=0) as listener:
        link = join(lan[0], listener, lan[1].v4)
    talk(link, 50_000, 20_000)
    with attach(path=older_object, kernel=(6, 3)) as half:
        talk(link, 1000, 0)
        talk(link, 1000, 0)
        seen = half.pairs(lan[0])["client", link.port]
        assert (seen["opened"], seen["active"]) == (0, 1)
        assert seen["sent"] in (1000, 2000), "the first send may have been acknowledged before it was seen"
        link.close()
        eventually(lambda: half.pairs(lan[0])["client", link.port]["active"], 0)
