"""The real processes: an agent without rights under the keeper, its refusals, and uninstall."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.e2e.node import free_port

pytestmark = pytest.mark.kernel
EMPTY = "0" * 16


class Machine:
    """Folders and sockets of one test's own, and the processes that use them."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.address = f"127.0.0.1:{free_port()}"
        self.log = place / "log"
        self.paths = [
            *("--agent-socket", place / "run/agent.sock", "--loader-socket", place / "run/loader.sock"),
            *("--bpffs", place / "run/bpf", "--state-dir", place / "state", "--cache-dir", place / "cache"),
        ]

    def start(self, command: str, *words: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(self.command(command, *words), stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def run(self, command: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(command, *words), capture_output=True, text=True, timeout=50, check=False)

    def pid(self, name: str) -> int:
        return int((self.place / "state/keeper" / f"{name}.lock").read_text())

    def until(self, claim: Callable[[], bool], within: float = 40.0) -> None:
        deadline = time.monotonic() + within
        while not claim():
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(0.05)

    def until_said(self, words: str, times: int = 1) -> None:
        self.until(lambda: self.log.read_text().count(words) >= times)

    def close(self) -> None:
        for name in ("keeper", "agent", "loader"):
            lock = self.place / "state/keeper" / f"{name}.lock"
            pid = int(lock.read_text()) if lock.exists() else 0
            if pid and str(self.place).encode() in _command_line(pid):
                os.kill(pid, signal.SIGKILL)
        subprocess.run(["umount", "-ql", str(self.place / "run/bpf")], check=False)

    def command(self, command: str, *words: str) -> list[str]:
        address = [] if command in {"uninstall", "loader"} else ["--http-address", self.address]
        return [sys.executable, "-m", "conductor", command, *map(str, self.paths), *address, *words]


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def status(path: Path) -> dict[str, list[str]]:
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return {key: value.split() for key, _, value in lines}


@pytest.fixture
def machine() -> Iterator[Machine]:
    with TemporaryDirectory(prefix="cli-", dir="/run") as made:
        Path(made).chmod(0o755)
        machine = Machine(Path(made))
        try:
            yield machine
        finally:
            machine.close()


def test_every_thread_of_the_agent_has_nothing_while_maps_are_read(machine: Machine) -> None:
    keeper = machine.start("up", "--groups", "7", "--keep")
    machine.until_said("agent: ready")
    assert (
        subprocess.run(
            [sys.executable, "-m", "conductor", "load", "builtin", "service_map", *map(str, machine.paths[:2])],
            check=False,
        ).returncode
        == 0
    )
    threads = [status(task / "status") for task in Path(f"/proc/{machine.pid('agent')}/task").iterdir()]
    assert len(threads) > 1
    for one in threads:
        assert (one["Uid"], one["Gid"], one["Groups"], one["NoNewPrivs"]) == (
            ["65532"] * 4,
            ["65532"] * 4,
            ["7"],
            ["1"],
        )
        assert [one[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")] == [[EMPTY]] * 5
    assert list((machine.place / "run/bpf/links").iterdir())
    keeper.send_signal(signal.SIGTERM)
    assert keeper.wait(40) == 0
    assert list((machine.place / "run/bpf/links").iterdir()), "--keep leaves what is attached"
    assert machine.run("loader", "--unload").returncode == 0
    assert [*(machine.place / "run/bpf/links").iterdir(), *(machine.place / "run/bpf/programs").iterdir()] == []


def test_the_next_keeper_adopts_an_agent_that_was_started_in_a_view_of_its_own(machine: Machine) -> None:
    first = machine.start("up", "--kernel", "none")
    machine.until_said("agent: ready")
    pid = machine.pid("agent")
    first.kill()
    first.wait()
    second = machine.start("up", "--kernel", "none")
    machine.until_said("agent: ready", times=2)
    assert f"agent: adopted (pid {pid})" in machine.log.read_text()
    assert machine.run("up", "--kernel", "none").stderr.startswith(
        "conductor: another `conductor up` keeps this machine"
    )
    second.send_signal(signal.SIGINT)
    assert second.wait(40) == 0
    assert _command_line(pid) == b""  # gone, but for who inherited it


def test_a_second_agent_on_the_same_state_is_refused(machine: Machine) -> None:
    keeper = machine.start("up", "--kernel", "none")
    machine.until_said("agent: ready")
    other = machine.place / "run/other"
    done = machine.run("agent", "--own-view", "--kernel", "none", "--agent-socket", str(other))
    assert done.returncode == 1
    assert f"another agent works in {machine.place / 'state/agent'}" in done.stderr
    assert not other.exists()
    keeper.terminate()
    assert keeper.wait(40) == 0


def test_a_group_that_cannot_have_the_socket_ends_the_keeper(machine: Machine) -> None:
    done = machine.run("up", "--read-group", "7")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("so it must be in it: add --groups 7\n")


def test_uninstall_ends_what_is_kept_and_leaves_nothing(machine: Machine) -> None:
    keeper = machine.start("up")
    machine.until_said("agent: ready")
    subprocess.run(
        [sys.executable, "-m", "conductor", "load", "builtin", "service_map", *map(str, machine.paths[:2])], check=True
    )
    programs = [int(path.name) for path in (machine.place / "run/bpf/programs").iterdir()]
    assert programs
    done = machine.run("uninstall", "--yes")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "Removed."), done.stderr
    assert keeper.wait(1) == 0
    assert [path.name for path in machine.place.iterdir()] == ["log"]
    shown = json.loads(subprocess.run(["bpftool", "-j", "prog", "show"], capture_output=True, check=True).stdout)
    assert not {program["id"] for program in shown} & set(programs)
    assert machine.run("uninstall", "--yes").stdout == "Nothing of ours is here.\n"


def test_uninstall_asks_and_leaves_everything_without_a_yes(machine: Machine) -> None:
    (machine.place / "state/agent").mkdir(parents=True)
    done = machine.run("uninstall")
    assert (done.returncode, done.stdout) == (1, f"{machine.place / 'state/agent'}\n")
    assert done.stderr.endswith("conductor: nothing was removed: answer y, or give --yes\n")
    assert (machine.place / "state/agent").exists()


def test_uninstall_refuses_while_somebody_else_runs_an_agent(machine: Machine) -> None:
    (machine.place / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(machine.place / "run/agent.sock"))
        door.listen()
        done = machine.run("uninstall", "--yes")
    assert done.returncode == 1
    assert "end it where it was started" in done.stderr
    assert (machine.place / "run/agent.sock").exists()


@pytest.mark.parametrize("command", ["agent", "up"])
def test_uid_0_is_refused_before_anything_is_made(machine: Machine, command: str) -> None:
    done = machine.run(command, "--user", "root")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--allow-uid0" in done.stderr
    assert list(machine.place.iterdir()) == []


def test_settings_that_the_agent_refuses_end_the_keeper(machine: Machine) -> None:
    done = machine.run("up", "--kernel", "magic")
    assert (done.returncode, done.stderr) == (
        2,
        "conductor: --kernel: 'magic' is none of auto, bpfman, embedded, none\n",
    )


def test_a_loader_without_rights_is_refused(machine: Machine) -> None:
    script = (
        "import sys, conductor.cli.loader\n"
        "from conductor.cli import main\n"
        "from conductor.privilege import Identity, drop\n"
        "drop(Identity(uid=65532, gid=65532))\n"
        "main()"
    )
    words = machine.command("loader")[3:]
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "conductor: loading eBPF needs rights: start the loader as root\n")
