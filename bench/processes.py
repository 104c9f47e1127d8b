"""What processes hold, as /proc tells it, and the rival of many programs in one agent: a minimal exporter for each."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

__all__ = ["Memory", "cpu_seconds", "exporters", "memory_of", "tables_of"]

HERE = Path(__file__).parent
PROCESSES = 5
TICKS = 100.0


class Memory:
    """KiB of one process."""

    def __init__(self, fields: dict[str, int]) -> None:
        self.resident = fields["Rss"]
        self.anonymous = fields["Anonymous"]
        """Without pages of files, which are there once however often they are mapped."""
        self.own = fields["Private_Clean"] + fields["Private_Dirty"]
        """What would be free without it."""


def memory_of(pid: int) -> Memory:
    lines = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return Memory({words[0].rstrip(":"): int(words[1]) for words in lines})


def tables_of(pid: int) -> int:
    """KiB of page tables, which no figure of memory holds."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["VmPTE"].split()[0])


def cpu_seconds(pid: int) -> float:
    """CPU of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def exporters(place: Path) -> dict[str, tuple[float, float]]:
    """KiB of each of a few exporters after a scrape, their own and resident, by language; Go's only where Go is."""
    found = {"Python": _median([sys.executable, str(HERE / "exporter.py")])}
    if shutil.which("go"):
        program = place / "exporter"
        subprocess.run(["go", "build", "-o", str(program), "./exporter"], cwd=HERE / "go", check=True)
        found["Go"] = _median([str(program)])
    return found


def _median(command: Sequence[str]) -> tuple[float, float]:
    with _running(command) as pids:
        seen = [memory_of(pid) for pid in pids]
        return median(one.own for one in seen), median(one.resident for one in seen)


@contextmanager
def _running(command: Sequence[str]) -> Iterator[list[int]]:
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)]
    try:
        for one in started:
            assert one.stdout is not None
            port = int(one.stdout.readline())
            for _ in range(3):
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                    answer.read()
        time.sleep(1)
        yield [one.pid for one in started]
    finally:
        for one in started:
            one.kill()
            one.wait()
            assert one.stdout is not None
            one.stdout.close()
