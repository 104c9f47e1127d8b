"""A machine within this one: PIDs, mounts, network and cgroups of its own, so that a whole node fits and nothing is left.

What is below /var and /run is its own too, and three settings of the kernel that a kubelet would change are shown to
it as it wants them. `crash` is a power cut: every process dies, /run and with it every pin goes; disks stay.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["ADDRESS", "SERVICE", "Machine"]

ADDRESS, SERVICE = "172.30.77.1", "10.96.0.1"
"""Of the machine itself, and where the cluster's service network has the API server."""
WANTED = {"vm/overcommit_memory": "1", "vm/panic_on_oom": "0", "kernel/panic": "10", "kernel/panic_on_oops": "1"}
DISKS = ("/var/lib", "/var/cache", "/var/log")
CGROUPS = Path("/sys/fs/cgroup")
PLACE, PREFIX = Path("/var/tmp"), "node-"
# Its interface leads nowhere, and is there because API server and kubelet refuse addresses of loopback.
NETWORK = f"""set -e
ip link set lo up
ip address add {SERVICE}/32 dev lo
ip link add node0 type veth peer node1
ip link set node1 up
ip address add {ADDRESS}/24 dev node0
ip link set node0 up
ip route add default dev node0
echo ready
exec cat
"""
# sysfs shows the network namespace in which it was mounted. A bpffs of others must not outlive them in here. "/" is
# shared, as systemd leaves it.
MACHINE = """set -e
cd "$1"
umount --all --types bpf || :
mount -t tmpfs -o mode=0755 tmpfs /run
mkdir -p /run/lock
for disk in {disks}; do mkdir -p "disk$disk"; mount --bind "disk$disk" "$disk"; done
for name in {wanted}; do mount --bind "kernel/$name" "/proc/sys/$name"; done
mkdir cgroups && mount --rbind /sys/fs/cgroup cgroups
mount -t sysfs sysfs /sys
mount --rbind cgroups /sys/fs/cgroup && umount --recursive --lazy cgroups && rmdir cgroups
mount -t tracefs tracefs /sys/kernel/tracing
hostname node-1
mount --make-rshared /
echo ready
cat
:
"""
# bash is the first process and no other takes its place: it reaps what is orphaned.


class Machine:
    """Namespaces and the processes that hold them; they end with us whatever happens, as these read from our pipes."""

    def __init__(self, *, folder: Path) -> None:
        self.folder = folder
        self.cgroup = f"/conductor-{folder.name}"
        self._network: subprocess.Popen[bytes] | None = None
        self._first: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Machine]:
        """Have one; nothing of it is left when this ends."""
        _remove_abandoned()
        with (
            tempfile.TemporaryDirectory(prefix=PREFIX, dir=PLACE, ignore_cleanup_errors=True) as name,
            _locked(Path(name)),
        ):
            machine = cls(folder=Path(name))
            try:
                machine._network = _held(["unshare", "--net", "bash", "-c", NETWORK])
                machine.boot()
                yield machine
            finally:
                machine.crash()
                if machine._network is not None:
                    _ended(machine._network)
                shutil.rmtree(name, ignore_errors=True)

    def boot(self) -> None:
        """Start the first process, after `crash` too."""
        self._make_cgroups()
        for name, value in WANTED.items():
            (self.folder / "kernel" / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / "kernel" / name).write_text(value + "\n")
        script = MACHINE.format(disks=" ".join(DISKS), wanted=" ".join(WANTED))
        spaces = ("--pid", "--fork", "--kill-child", "--mount", "--uts", "--ipc", "--mount-proc")
        command = [*self.network(), "unshare", *spaces, "bash", "-c", script, "bash", str(self.folder)]
        self._first = _held(command)

    def crash(self) -> None:
        """Cut its power."""
        if self._first is not None:
            _ended(self._first)
            self._first = None
            bridge = [*self.network(), "ip", "link", "delete", "cni0"]
            subprocess.run(bridge, check=False, capture_output=True)
        self._remove_cgroups()

    @property
    def pid(self) -> int:
        """The first process, as we see it from outside."""
        assert self._first is not None
        return int(Path(f"/proc/{self._first.pid}/task/{self._first.pid}/children").read_text().split()[0])

    def network(self) -> list[str]:
        """What stands before a command that is to run in its network, and otherwise out here."""
        return ["nsenter", f"--net={self.network_path}", "--"]

    @property
    def network_path(self) -> str:
        """Its network namespace."""
        assert self._network is not None
        return f"/proc/{self._network.pid}/ns/net"

    def inside(self) -> list[str]:
        """What stands before a command that is to run on the machine."""
        return ["nsenter", f"--target={self.pid}", "--all", "--"]

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command on the machine to its end; answers what it printed."""
        done = subprocess.run([*self.inside(), *command], capture_output=True, text=True, check=False, timeout=120)
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def seen(self, path: Path | str) -> Path:
        """Where a path of the machine lies for root out here."""
        return Path(f"/proc/{self.pid}/root") / str(path).lstrip("/")

    def processes(self) -> list[tuple[int, list[str]]]:
        """Pids, as we see them from outside, and command lines of what runs on it."""
        space, found = Path(f"/proc/{self.pid}/ns/pid").readlink(), list[tuple[int, list[str]]]()
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it ended
                # Those of pods have PIDs of their own, within.
                if (entry / "ns/pid").readlink() == space or self.cgroup in (entry / "cgroup").read_text():
                    found.append((int(entry.name), (entry / "cmdline").read_text(errors="replace").split("\0")))
        return found

    @property
    def spaces(self) -> set[str]:
        """Its namespaces of PIDs, mounts and network, as /proc names them."""
        return {str(Path(f"/proc/{self.pid}/ns/{name}").readlink()) for name in ("pid", "mnt", "net")}

    def _make_cgroups(self) -> None:
        for hierarchy in _hierarchies():
            group = hierarchy / self.cgroup.lstrip("/")
            group.mkdir(exist_ok=True)
            for name in ("cpuset.cpus", "cpuset.mems"):  # of version 1, empty at first
                if (group / name).exists() and hierarchy.name == "cpuset":
                    (group / name).write_text((hierarchy / name).read_text())

    def _remove_cgroups(self) -> None:
        """Take away what it made of cgroups; does nothing where there are none."""
        until = time.monotonic() + 10
        for hierarchy in _hierarchies():
            group = hierarchy / self.cgroup.lstrip("/")
            while group.exists() and time.monotonic() < until:
                for path in sorted(group.rglob("*/"), key=lambda path: -len(path.parts)):
                    with suppress(OSError):
                        path.rmdir()
                with suppress(OSError):
                    group.rmdir()
                time.sleep(0.05)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Say that a folder is in use, for as long as this process lives. Raises `BlockingIOError` where it is."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _remove_abandoned() -> None:
    """Remove what machines left whose session was killed: their processes went with it, folders and cgroups did not."""
    for lock in PLACE.glob(f"{PREFIX}*/lock"):
        with suppress(BlockingIOError, FileNotFoundError), _locked(lock.parent):
            Machine(folder=lock.parent)._remove_cgroups()
            shutil.rmtree(lock.parent, ignore_errors=True)


def _hierarchies() -> list[Path]:
    """Roots of the trees of cgroups: several of version 1, or the one of version 2."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [path for path in CGROUPS.iterdir() if path.is_dir() and not path.is_symlink()]


def _held(command: list[str]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    if process.stdout.readline() != b"ready\n":
        process.kill()
        process.wait(10)
        raise RuntimeError(f"this machine cannot hold another one, see above: {' '.join(command[:8])} …")
    return process


def _ended(process: subprocess.Popen[bytes]) -> None:
    """The first process of PIDs of its own takes all others along."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.kill()
    process.stdin.close()
    process.stdout.close()
    process.wait(30)
