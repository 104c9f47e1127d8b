"""One server of the cluster as a process group of its own, which ends with us whatever happens."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["Server", "free_ports"]


def free_ports(number: int) -> list[int]:
    """Ports of loopback that nobody listens on; held together, so that they differ."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


class Server:
    """A binary with its arguments, started, frozen and ended by its pid."""

    def __init__(self, *, name: str, command: list[str], log: Path) -> None:
        self.name, self.log = name, log
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        """Start it, from the main thread."""
        with self.log.open("ab") as log:
            # The kernel ends it when the thread that starts it ends, even by SIGKILL.
            command = ["setpriv", "--pdeathsig", "KILL", *self._command]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def wait(self, ready: Callable[[], bool], *, within: float = 40) -> None:
        """Wait until it is ready; shows the log's end where it is not."""
        until = time.monotonic() + within
        while not ready():
            if self._process is None or self._process.poll() is not None or time.monotonic() > until:
                self.end()
                raise RuntimeError(f"{self.name} did not become ready:\n" + "\n".join(self._last_lines()))
            time.sleep(0.05)

    def send(self, number: int) -> None:
        """Signal its whole group."""
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def end(self, number: int = signal.SIGKILL) -> None:
        """End it and wait; does nothing where there is none."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self.send(signal.SIGCONT)
            self.send(number)
        self._process.wait(timeout=30)
        self._process = None

    @property
    def pid(self) -> int:
        """Which process it is."""
        assert self._process is not None
        return self._process.pid

    @property
    def resident(self) -> int:
        """Its resident memory in bytes."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    def _last_lines(self) -> list[str]:
        return self.log.read_text(errors="replace").splitlines()[-15:]
