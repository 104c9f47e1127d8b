"""A map of 100,000 entries read by batches and summed by group: ours and a C program through libbpf."""

from __future__ import annotations

import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np

from bench.table import Row
from conductor.bpf.maps import BpfMap, open_map
from conductor.bpf.objects import BpfObject
from conductor.bpf.pins import mount_bpffs, pin
from conductor.model.grants import Access

HERE = Path(__file__).parent
ENTRIES = 100_000
ROUNDS, TURNS = 5, 12
"""Short turns: what else runs on the machine then meets both alike."""
CLANG = ("clang", "-O2", "-g", "-target", "bpf", "-I/usr/include/x86_64-linux-gnu", "-I/usr/include/aarch64-linux-gnu")


def measure() -> list[Row]:
    """Measure both in one run, on the same pinned map."""
    with filled_map() as (place, path):
        rival = place / "map_reader"
        subprocess.run(["cc", "-O2", "-o", str(rival), str(HERE / "map_reader.c"), "-lbpf"], check=True)
        ours: list[float] = []
        theirs: list[float] = []
        total = read(path)
        for _ in range(TURNS):
            ours += [timed(path, total) for _ in range(ROUNDS)]
            words = subprocess.run(
                [rival, path, str(ROUNDS)], check=True, capture_output=True, text=True
            ).stdout.split()
            if (int(words[0]), int(words[1])) != (ENTRIES, total):
                raise SystemExit(f"the two readers disagree: {words} and {total}")
            theirs.append(int(words[3]) / 1e9)
        name = f"map of {ENTRIES:,} entries, read and summed"
        return [
            Row(name=name, unit="ms", ours=median(ours) * 1e3, rival=median(theirs) * 1e3, who="C, libbpf", most=1.5)
        ]


def read(path: Path) -> int:
    """Sum packets and bytes by group, as a built-in does."""
    with open_map(path, Access.READ) as map_:
        return summed(map_)


def summed(map_: BpfMap) -> int:
    entries = map_.entries()
    group = np.frombuffer(entries.keys, np.uint64).astype(np.intp) & 255
    values = np.frombuffer(entries.values, np.uint64).reshape(-1, 2)
    sums = [np.bincount(group, weights=values[:, column], minlength=256) for column in (0, 1)]
    return int(sum(column.sum() for column in sums))


def timed(path: Path, expected: int) -> float:
    start = time.perf_counter()
    total = read(path)
    took = time.perf_counter() - start
    if total != expected:
        raise SystemExit(f"{total} is not {expected}")
    return took


@contextmanager
def filled_map() -> Iterator[tuple[Path, Path]]:
    """A pinned map in a bpffs of this run alone."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        made, bpffs = place / "entries.o", place / "bpf"
        subprocess.run([*CLANG, "-c", str(HERE / "entries.bpf.c"), "-o", str(made)], check=True)
        bpffs.mkdir()
        mount_bpffs(bpffs)
        try:
            with BpfObject.open(made) as object_:
                object_.load()
                pin(object_.map_fd("entries"), bpffs / "entries")
            with open_map(bpffs / "entries", Access.READ_WRITE) as map_:
                for key in range(ENTRIES):
                    map_.update(struct.pack("Q", key), struct.pack("QQ", key, key * 1500))
            yield place, bpffs / "entries"
        finally:
            subprocess.run(["umount", "-l", str(bpffs)], check=True)
