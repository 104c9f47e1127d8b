"""A network namespace as a container has one: held by a process, and quiet."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from conductor.net.netns import inside

__all__ = ["Space", "spaced"]


@dataclass
class Space:
    """A process with a network namespace of its own, in which v0 leads to v1."""

    process: subprocess.Popen[bytes]

    @property
    def path(self) -> str:
        return f"/proc/{self.process.pid}/ns/net"

    def talk(self) -> None:
        """Send one packet to v0."""

        def send() -> None:
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
                out.bind(("v1", 0))
                out.send(bytes(12) + b"\x88\xb5" + bytes(46))  # an experimental ethertype: nobody answers

        inside(self.path, send)

    def wait_for_word(self) -> None:
        """Read the line that its command prints."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline()

    def say(self, text: str) -> None:
        """Write to its command."""
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def end(self) -> None:
        """End it; its network namespace goes along."""
        self.process.kill()
        self.process.wait(10)


@contextmanager
def spaced(*command: str) -> Iterator[Space]:
    """Have such a process."""
    # Without IPv6 the kernel sends nothing of its own.
    quiet = "for each in all default; do echo 1 > /proc/sys/net/ipv6/conf/$each/disable_ipv6; done"
    setup = f"{quiet} && ip link add v0 type veth peer v1 && ip link set v0 up && ip link set v1 up && echo ready"
    words = ["unshare", "--net", "bash", "-c", f'{setup} && exec "$@"', "bash", *(command or ("sleep", "600"))]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        space = Space(process)
        try:
            space.wait_for_word()
            yield space
        finally:
            space.end()
