"""The disk of the state directory is full: what runs goes on, what is asked for is refused whole, and it is told."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.node import programs_of

if TYPE_CHECKING:
    from tests.e2e.node import Node

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(180)]
FAST = ("--config", "interval=0.3", "--config", "loopback=true")


@dataclass
class Disk:
    """A small file system of memory, with nothing on it but a node's state and ballast."""

    root: Path
    ballast: list[Path] = field(default_factory=list)

    def fill(self) -> None:
        """Leave neither a block nor an inode."""
        place = self.root / "ballast"
        place.mkdir(exist_ok=True)
        for number in range(10_000):
            path = place / str(number)
            try:
                with path.open("wb", buffering=0) as file:
                    self.ballast.append(path)
                    while file.write(bytes(4096)):
                        pass
            except OSError:
                if not path.exists():
                    return
        raise AssertionError("the disk does not fill up")

    def free(self) -> None:
        for path in self.ballast:
            path.unlink()
        self.ballast.clear()

    def leftovers(self) -> list[Path]:
        """Files that were begun and never became anything."""
        return [path for path in self.root.rglob("*") if path.is_file() and path.name.startswith((".", "tmp"))]


@pytest.fixture
def disk(node: Node) -> Iterator[Disk]:
    place = node.root / "state"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,nr_inodes=400,mode=755", "tmpfs", str(place)], check=True)
    with ExitStack() as stack:
        stack.callback(subprocess.run, ["umount", "-l", str(place)], check=True)
        stack.callback(node.close)
        yield Disk(place)


def wishes(node: Node) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (node.root / "state/agent/wishes").iterdir()}


def settled(node: Node, name: str) -> dict[str, Any] | None:
    """A program once it was tried; a node is ready before that."""
    shown: dict[str, Any] = node.json("get", name)
    return None if shown["state"] == "Initialized" else shown


def test_what_cannot_be_kept_is_refused_whole_and_what_runs_goes_on(node: Node, disk: Disk) -> None:
    node.start("--kernel", "embedded")
    node.cli("load", "builtin", "service_map", *FAST)
    node.wait_for(lambda: node.running("service_map"), "running")
    kept, held = wishes(node), [program["id"] for program in programs_of(node)]
    disk.fill()
    words = {
        "load": ("load", "builtin", "host_pressure"),
        "load of a kernel half": ("load", "builtin", "service_map", "--name", "other"),
        "update": ("update", "service_map", "--config", "interval=0.7"),
        "stop": ("stop", "service_map"),
        "unload": ("unload", "service_map"),
    }
    for what, command in words.items():
        done = node.cli(*command, ok=False)
        assert done.returncode == 1, what
        assert "No space left on device; nothing was changed" in done.stderr, f"{what}: {done.stderr}"
    assert wishes(node) == kept
    assert [item["name"] for item in node.json("list")["items"]] == ["service_map"]
    assert node.json("get", "service_map")["config"]["interval"] == 0.3
    assert [program["id"] for program in programs_of(node)] == held
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        with socket.create_connection(server.getsockname()):
            pass
    node.wait_for(lambda: any(("server_port", port) in labels for _, labels in node.series()), "still counting")
    disk.free()
    assert disk.leftovers() == []
    node.cli("load", "builtin", "host_pressure")
    node.cli("unload", "service_map")
    assert programs_of(node) == []


@pytest.mark.usefixtures("disk")
def test_an_upload_that_does_not_fit_leaves_nothing(node: Node) -> None:
    node.start("--kernel", "none")
    manifest = node.root / "big.yaml"
    big = node.root / "big.o"
    big.write_bytes(os.urandom(3 << 20))
    manifest.write_text(
        "apiVersion: ebpfconductor.io/v1alpha1\nkind: KernelProgram\nmetadata: {name: big}\n"
        f"spec: {{bytecode: {{path: {big}}}, programs: [{{name: f, type: TracePoint}}]}}\n"
    )
    done = node.cli("apply", "-f", str(manifest), ok=False)
    assert (done.returncode, "No space left on device" in done.stderr) == (1, True), done.stderr
    assert list((node.root / "state/agent/objects").iterdir()) == []
    assert node.json("kernel", "list") == {"items": []}


def test_a_node_starts_on_a_full_disk_runs_what_it_had_and_says_so(node: Node, disk: Disk) -> None:
    node.start("--kernel", "embedded", "--keep")
    node.cli("load", "builtin", "service_map", *FAST)
    node.cli("load", "builtin", "host_pressure")
    held = [program["id"] for program in programs_of(node)]
    assert node.stop() == 0
    disk.fill()
    node.start("--kernel", "embedded")
    for name in ("service_map", "host_pressure"):
        node.wait_for(lambda name=name: node.running(name), f"{name} running")  # type: ignore[misc]
    assert [program["id"] for program in programs_of(node)] == held
    assert f"degraded: the disk of {disk.root}/agent is full" in node.get("/readyz")
    assert f"the disk of {disk.root}/agent is full" in node.cli("doctor", *node.flags()[2:]).stdout
    done = node.cli("load", "builtin", "host_pressure", "--name", "more", ok=False)
    assert (done.returncode, "No space left on device" in done.stderr) == (1, True), done.stderr
    disk.free()
    node.cli("load", "builtin", "host_pressure", "--name", "more")
    assert "degraded" not in node.get("/readyz")


def test_a_node_that_never_ran_starts_on_a_full_disk_once_there_is_room(node: Node, disk: Disk) -> None:
    disk.fill()
    done = node.cli("up", "--kernel", "none", *node.flags()[2:], ok=False)
    assert done.returncode == 1
    (sentence,) = done.stderr.splitlines()
    assert "No space left on device" in sentence
    assert str(disk.root) in sentence
    disk.free()
    node.start("--kernel", "embedded")
    node.cli("load", "builtin", "service_map", *FAST)
    assert node.running("service_map")


def test_a_kernel_half_that_cannot_be_recorded_is_not_loaded_and_comes_when_there_is_room(
    node: Node, disk: Disk
) -> None:
    node.start("--kernel", "embedded")
    node.cli("load", "builtin", "service_map", *FAST)
    assert node.stop() == 0  # unloads it; the wish stays
    assert programs_of(node) == []
    disk.fill()
    node.start("--kernel", "embedded")
    shown = node.wait_for(lambda: settled(node, "service_map"), "tried")
    assert shown["state"] in ("Waiting", "Failed"), shown
    assert "No space left on device" in shown["message"], shown
    assert programs_of(node) == []
    disk.free()
    node.wait_for(lambda: node.running("service_map"), "running", 45)
    assert len(programs_of(node)) == len(node.json("kernel", "get", "service_map")["functions"])
