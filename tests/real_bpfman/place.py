"""A mount namespace for one daemon, held open by a process of its own, so that pins outlive a killed daemon.

The Rust daemon's paths are fixed (/run/bpfman, /etc/bpfman): in here both are empty tmpfs. tracefs is mounted too, for
daemons look for it. The two mount points are made outside if they are missing, and stay: removing one would unmount
it in the namespaces of tests that run at the same time.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Place"]

SCRIPT = """set -e
mount --make-rshared /
mount -t tmpfs -o mode=0755 tmpfs /run/bpfman
mount -t tmpfs -o mode=0755 tmpfs /etc/bpfman
mount -t tracefs tracefs /sys/kernel/tracing
printf '[signing]\\nverify_enabled = false\\n' > /etc/bpfman/bpfman.toml
echo ready
exec cat
"""
"""Shared, as systemd leaves "/": what a daemon mounts later is seen by an agent that moved to a view of its own.
Without that setting the daemon fetches Sigstore's roots from the network on every Load, from a file too."""


@dataclass(frozen=True)
class Place:
    """The namespace of process `pid`."""

    pid: int

    @classmethod
    @contextmanager
    def held(cls) -> Iterator[Place]:
        """Hold a fresh one; it ends with us whatever happens, for its process reads from our pipe."""
        for point in (Path("/run/bpfman"), Path("/etc/bpfman")):
            point.mkdir(exist_ok=True)
        command = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", SCRIPT]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"ready\n"
            try:
                yield cls(holder.pid)
            finally:
                holder.kill()

    def inside(self, *command: str) -> list[str]:
        """A command that runs in here."""
        # The root too: who was started in a chroot must not leave it by entering the namespace.
        return ["nsenter", f"--mount=/proc/{self.pid}/ns/mnt", f"--root=/proc/{self.pid}/root", "--", *command]

    def run(self, *command: str) -> None:
        """Run a command in here to its end."""
        subprocess.run(self.inside(*command), check=True, capture_output=True)

    def seen(self, path: Path | str) -> Path:
        """Where a path of in here lies for root outside."""
        return Path(f"/proc/{self.pid}/root") / str(path).lstrip("/")
