"""The daemons that the conformance suite runs against, each in a place of its own; started, killed, robbed of its state."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path

from typing_extensions import override

from conductor.bpfman.choice import Mode
from conductor.bpfman.flavour import Flavour
from tests.loader.running import PROGRAM
from tests.real_bpfman.place import Place

__all__ = ["Assistant", "GoDaemon", "OwnLoader", "RealDaemon", "RustDaemon"]

HERE = Path(__file__).parent


@dataclass
class RealDaemon(ABC):
    """A daemon, its folder (seen alike inside and outside) and its process while there is one."""

    folder: Path
    place: Place
    group: int = 0
    """Primary group of the daemon: what a unit file's Group= sets."""
    socket_group: int = 0
    """Group of its socket alone: what SocketGroup= sets."""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    flavour = Flavour.LOADER
    mode: Mode = "bpfman"

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.folder / "daemon.sock"

    @property
    def log(self) -> str:
        """What it said."""
        return (self.folder / "daemon.log").read_text(errors="replace")

    @property
    @abstractmethod
    def bpffs(self) -> Path:
        """Where its pins are, as seen by itself."""

    @property
    @abstractmethod
    def state(self) -> Path:
        """Where it remembers what it loaded, as seen by itself."""

    @abstractmethod
    def command(self) -> list[str]:
        """How it is started."""

    def start(self) -> None:
        """Start it and wait until it answers."""
        group = ("setpriv", f"--regid={self.group}", "--clear-groups") if self.group else ()
        with (self.folder / "daemon.log").open("ab") as log:
            command = self.place.inside(*group, *self.command())
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while not self._answers():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < until, self.log
            time.sleep(0.02)
        if self.socket_group:
            os.chown(self.socket, -1, self.socket_group)

    def end(self, number: int = signal.SIGTERM) -> None:
        """Send a signal and wait for the end."""
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(20)
        self.process = None

    def restart(self, number: int = signal.SIGKILL) -> None:
        """End it and start it again."""
        self.end(number)
        self.start()

    def lose_pins(self) -> None:
        """Take every pin away below a running daemon: what was loaded ends."""
        self.place.run("sh", "-c", f"find {self.bpffs} -mindepth 1 -type f ! -name '*.debug' -delete")

    def lose_everything(self) -> None:
        """End it as a reboot does: pins and memory are gone when it starts again."""
        self.end(signal.SIGKILL)
        self.lose_pins()
        self.place.run("sh", "-c", f"rm -rf {self.state}/*")
        self.start()

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.socket))
            except OSError:
                return False
        return True


@dataclass
class RustDaemon(RealDaemon):
    """bpfman-rpc 0.6.0. Its paths are fixed but for the socket."""

    binary: Path = Path("bpfman-rpc")
    flavour = Flavour.RUST

    @property
    @override
    def bpffs(self) -> Path:
        return Path("/run/bpfman/fs")

    @property
    @override
    def state(self) -> Path:
        return Path("/run/bpfman/db")

    @override
    def command(self) -> list[str]:
        preload = f"LD_PRELOAD={self._shim()}"
        return ["env", preload, "RUST_LOG=info", str(self.binary), "--timeout", "0", "--socket-path", str(self.socket)]

    def _shim(self) -> Path:
        made = self.folder / "memlock.so"
        if not made.exists():
            subprocess.run(["cc", "-shared", "-fPIC", "-o", str(made), str(HERE / "memlock.c"), "-ldl"], check=True)
        return made


@dataclass
class GoDaemon(RealDaemon):
    """The Go daemon; everything of it moves with --runtime-dir."""

    binary: Path = Path("bpfman")
    flavour = Flavour.GO

    @property
    def runtime(self) -> Path:
        """Everything of it."""
        return Path("/run/bpfman")

    @property
    @override
    def bpffs(self) -> Path:
        return self.runtime / "fs"

    @property
    @override
    def state(self) -> Path:
        return self.runtime / "db"

    @override
    def command(self) -> list[str]:
        folders = ["--runtime-dir", str(self.runtime), "--image-cache-dir", str(self.folder / "images")]
        return [str(self.binary), "serve", "--socket-path", str(self.socket), *folders]


@dataclass
class OwnLoader(RealDaemon):
    """`conductor loader`, on a bpffs in the same kind of place."""

    flavour = Flavour.LOADER
    mode: Mode = "embedded"

    @property
    @override
    def bpffs(self) -> Path:
        return Path("/run/bpfman/fs")

    @property
    @override
    def state(self) -> Path:
        return Path("/run/bpfman/state")

    @override
    def command(self) -> list[str]:
        given = {
            "socket": str(self.socket),
            "bpffs": str(self.bpffs),
            "state_dir": str(self.state),
            "cache_dir": str(self.folder / "cache"),
            "group": os.getegid(),
        }
        return [sys.executable, "-c", PROGRAM, json.dumps(given), "1"]


@dataclass
class Assistant(OwnLoader):
    """`conductor loader --assist` beside the bpfman at `bpfman`."""

    bpfman: Path = Path("bpfman.sock")
    flavour = Flavour.ASSIST

    @override
    def command(self) -> list[str]:
        sockets = ["--loader-socket", str(self.socket), "--bpfman-socket", str(self.bpfman)]
        folders = ["--state-dir", str(self.folder / "state"), "--cache-dir", str(self.folder / "cache")]
        return ["env", "-C", "/", sys.executable, "-m", "conductor", "loader", "--assist", *sockets, *folders]
