"""Start of a whole node and what it holds: seconds to ready, resident memory with ten programs.

Code is compiled first, for us and the rival alike, as an installation leaves it.
"""

from __future__ import annotations

import compileall
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import conductor
from bench.table import Row

ROUNDS = 5
IMPORTS = "import aiohttp.web, grpclib.server, grpclib.client, betterproto, numpy, pyroute2"
"""What the customer's packages cost by themselves: the rival that nobody can beat with them."""


def measure() -> list[Row]:
    """Start an agent several times beside a bare interpreter that imports the same packages."""
    for tree in (sysconfig.get_path("purelib"), Path(conductor.__file__).parent):
        compileall.compile_dir(tree, quiet=2)
    starts, bare = [], []
    with folder() as root:
        for number in range(ROUNDS):
            bare.append(imports())
            starts.append(started(root / str(number)))
        memory, children = held(root / "memory")
    return [
        Row(
            name="agent, start to ready, no cluster",
            unit="s",
            ours=median(starts),
            rival=median(bare),
            who="Python importing the same packages",
            note=f"target < 1 s: {'reached' if median(starts) < 1 else 'MISSED'}",
        ),
        Row(name="agent, resident memory, 10 built-in programs", unit="MiB", ours=memory, most=100),
        Row(name="loader, resident memory", unit="MiB", ours=children),
    ]


def imports() -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)
    return time.perf_counter() - begun


def started(root: Path) -> float:
    """Seconds from the exec of the agent to its first 200 of /readyz."""
    with node(root, "--kernel", "none") as (port, log):
        pid = agent_of(log)
        wait(port)
        ready = time.clock_gettime(time.CLOCK_BOOTTIME)
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return ready - int(after_name[19]) / os.sysconf("SC_CLK_TCK")


def agent_of(log: Path) -> int:
    """Wait for the keeper to say which process it started; answer its pid."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        for line in log.read_text().splitlines():
            if "agent: started (pid" in line:
                return int(line.rstrip(")").split()[-1])
        time.sleep(0.01)
    raise SystemExit(f"no agent was started; {log} has why")


def held(root: Path) -> tuple[float, float]:
    with node(root, "--kernel", "embedded") as (port, _):
        wait(port)
        for number in range(10):
            words = [
                "load",
                "builtin",
                "host_pressure",
                "--name",
                f"p{number}",
                "--agent-socket",
                str(root / "run/agent.sock"),
            ]
            subprocess.run([sys.executable, "-m", "conductor", *words], check=True, capture_output=True, cwd="/")
        time.sleep(3)
        return resident(root, "agent"), resident(root, "loader")


def resident(root: Path, role: str) -> float:
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().decode().split("\0")
            if "conductor" in words and role in words and any(str(root) in word for word in words):
                status = dict(line.split(":", 1) for line in (path / "status").read_text().splitlines())
                return int(status["VmRSS"].split()[0]) / 1024
        except OSError:
            continue
    raise SystemExit(f"no {role} runs in {root}")


def wait(port: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except urllib.error.HTTPError as refusal:
            refusal.close()
        except OSError:
            pass
        time.sleep(0.01)
    raise SystemExit("the agent did not become ready")


@contextmanager
def node(root: Path, *options: str) -> Iterator[tuple[int, Path]]:
    root.mkdir(exist_ok=True)
    root.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])
    paths = {"agent-socket": "run/agent.sock", "loader-socket": "run/loader.sock", "bpffs": "run/bpf"}
    paths |= {"state-dir": "state", "cache-dir": "cache"}
    flags = [word for name, path in paths.items() for word in (f"--{name}", str(root / path))]
    log = root / "log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "conductor", "up", *flags, "--http-address", f"127.0.0.1:{port}", *options]
        up = subprocess.Popen(command, stdout=out, stderr=out, cwd="/")
    try:
        yield port, log
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(30)
        subprocess.run(["umount", "-ql", str(root / "run/bpf")], check=False, capture_output=True)


@contextmanager
def folder() -> Iterator[Path]:
    root = Path(tempfile.mkdtemp(prefix="conductor-bench.", dir="/run"))
    root.chmod(0o755)
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)
