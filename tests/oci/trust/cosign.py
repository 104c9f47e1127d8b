"""The real cosign, as one of its users sees it, and a registry that lists no referrers (crane's)."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Cosign", "crane_registry"]


class Cosign:
    """One user of cosign, with a home of its own and no log to write to."""

    def __init__(self, binary: Path, home: Path) -> None:
        self._binary, self.home = binary, home

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {"HOME": str(self.home), "COSIGN_PASSWORD": "secret", "PATH": os.environ["PATH"]}
        command = [str(self._binary), *words]
        return subprocess.run(
            command, cwd=self.home, env=environment, check=False, capture_output=True, text=True, timeout=50
        )

    def does(self, *words: str) -> str:
        done = self.run(*words)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def sign(self, image: str, *more: str) -> None:
        offline = ("--yes", "--use-signing-config=false", "--tlog-upload=false", "--key", "cosign.key")
        self.does("sign", *offline, *more, image)

    def attest(self, image: str) -> None:
        (self.home / "predicate.json").write_text("{}")
        offline = ("--yes", "--use-signing-config=false", "--tlog-upload=false", "--key", "cosign.key")
        self.does("attest", *offline, "--type", "https://acme.example/review", "--predicate", "predicate.json", image)

    def verified(self, image: str, key: str, *more: str) -> str:
        """Why it does not verify; empty where it does."""
        done = self.run("verify", "--insecure-ignore-tlog", "--key", key, *more, image)
        return done.stderr if done.returncode else ""

    def knows(self, image: str, subject: str) -> str:
        """Why it is not signed by an identity, judged by root.json in its home; empty where it is."""
        identity = ("--certificate-identity", subject, "--certificate-oidc-issuer", "https://accounts.example")
        done = self.run("verify", "--trusted-root", "root.json", *identity, image)
        return done.stderr if done.returncode else ""


@contextmanager
def crane_registry(log: Path) -> Iterator[str]:
    """Serve until the block ends; answers its address."""
    command = [os.environ["CONDUCTOR_CRANE"], "registry", "serve", "--address", "127.0.0.1:0"]
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as server:
        try:
            until = time.monotonic() + 20
            while not (found := re.search(r"serving on port (\d+)", log.read_text())):
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.02)
            yield f"127.0.0.1:{found[1]}"
        finally:
            server.terminate()
