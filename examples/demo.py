"""Bring up loader and agent with `service_map` on this kernel and show who talks to whom.

usage: demo.py [--for SECONDS] [--picture FILE.svg] [OPTION...]   (root; ends by Ctrl-C, or by itself without a terminal)

Other options go to `conductor up`: `--kernel bpfman --groups bpfman` shows the same with a real bpfman.

Everything lives under a directory of its own in /run and is gone afterwards. The demo adds one known conversation to
what this machine does anyway: it sends itself a megabyte each second, and reads the metrics page over TCP.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.live import Live
from rich.table import Table

HERE = Path(__file__).parent
KEY = (
    "role",
    "client_kind",
    "client_namespace",
    "client_name",
    "server_kind",
    "server_namespace",
    "server_name",
    "server_port",
)
COLUMNS = {
    "service_map_sent_bytes_total": "sent",
    "service_map_received_bytes_total": "received",
    "service_map_connections_opened_total": "opened",
    "service_map_connections_active": "active",
}


@dataclass
class Row:
    """One conversation as the page tells it."""

    sent: float = 0
    received: float = 0
    opened: float = 0
    active: float = 0


@dataclass
class Demo:
    """Where this demo's processes live and answer."""

    root: Path
    port: int
    more: tuple[str, ...] = ()
    """Options for `conductor up`, which override ours."""
    rows: dict[tuple[str, ...], Row] = field(default_factory=dict)

    @property
    def page(self) -> str:
        return f"http://127.0.0.1:{self.port}/metrics"

    def command(self) -> list[str]:
        paths = {
            "--agent-socket": self.root / "agent.sock",
            "--loader-socket": self.root / "loader.sock",
            "--bpffs": self.root / "bpf",
            "--state-dir": self.root / "state",
            "--cache-dir": self.root / "cache",
            "--http-address": f"127.0.0.1:{self.port}",
            "--apply": HERE / "service-map-local.yaml",
        }
        options = [str(part) for pair in paths.items() for part in pair]
        return [sys.executable, "-m", "conductor", "up", "--kernel", "embedded", *options, *self.more]

    def read(self) -> None:
        with urllib.request.urlopen(f"{self.page}?program=service-map", timeout=5) as answer:
            text = answer.read().decode()
        rows: dict[tuple[str, ...], Row] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if column := COLUMNS.get(sample.name):
                    row = rows.setdefault(tuple(sample.labels[name] for name in KEY), Row())
                    setattr(row, column, sample.value)
        self.rows = rows

    def table(self) -> Table:
        table = Table(title=f"who talks to whom on this machine: {self.page}", caption="conductor: service_map")
        for name in ("client", "server", "port", "seen at", "sent", "received", "opened", "active"):
            right = name in {"port", "sent", "received", "opened", "active"}
            table.add_column(name, justify="right" if right else "left", no_wrap=True)
        order = sorted(self.rows.items(), key=lambda item: -(item[1].sent + item[1].received))
        for key, row in order[:20]:
            role, ck, cns, cn, sk, sns, sn, port = key
            counts = (f"{row.opened:.0f}", f"{row.active:.0f}")
            table.add_row(
                _end(ck, cns, cn), _end(sk, sns, sn), port, role, _size(row.sent), _size(row.received), *counts
            )
        return table


def _end(kind: str, namespace: str, name: str) -> str:
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def conversation() -> Iterator[None]:
    """Send a megabyte each second over loopback until the end of the scope."""
    over = threading.Event()
    server = socket.create_server(("127.0.0.1", 0))

    def sink() -> None:
        connection, _ = server.accept()
        with connection:
            while connection.recv(1 << 16):
                pass

    def source() -> None:
        with socket.create_connection(server.getsockname()) as connection:
            while not over.wait(1):
                connection.sendall(bytes(1 << 20))

    threads = [threading.Thread(target=sink), threading.Thread(target=source)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(5)
        server.close()


@contextmanager
def running(demo: Demo) -> Iterator[subprocess.Popen[bytes]]:
    """Keep `conductor up` for the scope; its log goes to a file that is shown if it fails."""
    log = demo.root / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(demo.command(), stdout=out, stderr=out, cwd="/", start_new_session=True)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def wait_for_rows(demo: Demo, process: subprocess.Popen[bytes]) -> None:
    """Wait until the page shows connections; end with the log if the agent does."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(urllib.error.URLError, OSError):
            demo.read()
        if demo.rows:
            return
        time.sleep(0.3)
    sys.stderr.write((demo.root / "log").read_text())
    raise SystemExit("the agent showed no connection; its log stands above")


def show(demo: Demo, process: subprocess.Popen[bytes], seconds: float | None, picture: str | None) -> None:
    """Show the table, live on a terminal, once at the end elsewhere."""
    console = Console(record=bool(picture), width=110 if picture or not sys.stdout.isatty() else None)
    until = time.monotonic() + (seconds if seconds is not None else 12 if not sys.stdout.isatty() else 10**9)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while time.monotonic() < until and process.poll() is None:
            demo.read()
            if sys.stdout.isatty():
                live.update(demo.table(), refresh=True)
            time.sleep(1)
    console.print(demo.table())
    if picture:
        drawn = console.export_svg(title="./dev demo")
        Path(picture).write_text(re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL))  # nothing from elsewhere


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--for", dest="seconds", type=float, help="end after this many seconds")
    parser.add_argument("--picture", help="save the last table as SVG")
    options, more = parser.parse_known_args()
    if os.geteuid() != 0:
        raise SystemExit("the loader needs root: run ./dev demo, or sudo")
    root = Path(tempfile.mkdtemp(prefix="conductor-demo.", dir="/run"))
    root.chmod(0o755)
    demo = Demo(root, _free_port(), tuple(more))
    try:
        with running(demo) as process, conversation():
            wait_for_rows(demo, process)
            show(demo, process, options.seconds, options.picture)
    except KeyboardInterrupt:
        pass
    finally:
        subprocess.run(["umount", "-q", str(root / "bpf")], check=False, capture_output=True)
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
