"""The image cache on a disk that is full, and after its process was killed."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from conductor.errors import StoreFull
from conductor.model.image import ImageKind
from conductor.oci.store import ImageStore
from tests.oci.image_parts import digest_of
from tests.oci.test_store import blob, names, put

ROOT = Path(__file__).parents[2]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB."""
    if os.geteuid() != 0:
        pytest.skip("needs root: a small tmpfs is mounted")
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_said_and_leaves_nothing_half_written(small_disk: Path) -> None:
    with ImageStore.opened(small_disk / "cache", bytes_limit=1 << 30, grace=0) as store:
        kept = put(store, b"k" * 100_000, "kept", holder="program")
        with pytest.raises(StoreFull, match="No space left on device; free space on that disk, or prune images"):
            put(store, b"n" * 400_000, "new")
        assert names(store) == ["kept"]
        assert store.use(kept) is not None
        assert list((small_disk / "cache" / "tmp").iterdir()) == []
    with ImageStore.opened(small_disk / "cache", bytes_limit=1 << 30, grace=0) as store:
        assert store.use(kept) is not None


def test_a_full_disk_makes_room_of_what_nobody_holds(small_disk: Path) -> None:
    with ImageStore.opened(small_disk / "cache", bytes_limit=1 << 30, grace=0) as store:
        for i in range(6):
            put(store, bytes([i]) * 80_000, str(i))
        assert "5" in names(store)
        assert store.counts.evictions >= 3


WRITER = """
import sys, os
from pathlib import Path
from conductor.oci.store import ImageStore
from tests.oci.image_parts import digest_of
from tests.oci.test_store import put
with ImageStore.opened(Path(sys.argv[1]), bytes_limit=3_000_000, grace=0) as store:
    print("open", flush=True)
    i = 0
    while True:
        put(store, os.urandom(200_000), str(i % 30))
        i += 1
"""


@pytest.mark.faults
def test_killed_at_any_moment_what_is_there_is_whole(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "cache")], cwd=ROOT, stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"open\n"
            time.sleep(rng.uniform(0, 0.3))
            writer.send_signal(signal.SIGKILL)
        with ImageStore.opened(tmp_path / "cache", bytes_limit=3_000_000, grace=0) as store:
            assert store.counts.set_aside == store.counts.damaged == 0
            for image in store.images():
                record = store.record(image.digest, ImageKind.WASM, architecture="amd64")
                assert record is not None
                assert store.use(record) is not None
                assert hashlib.sha256(blob(tmp_path, record).read_bytes()).hexdigest() == record.content[7:]
            assert list((tmp_path / "cache" / "tmp").iterdir()) == []


def test_many_threads_at_a_small_store_agree_with_the_disk(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    broken: list[str] = []
    with ImageStore.opened(tmp_path / "cache", bytes_limit=6000, grace=0) as store:

        def work(number: int) -> None:
            rng = random.Random(seed + number)
            for i in range(60):
                name = f"{number if rng.random() < 0.5 else 'shared'}-{rng.randrange(4)}"
                content = name.encode() * 60
                match rng.randrange(6):
                    case 0:
                        store.prune()
                    case 1 | 2:
                        held = store.record(digest_of(name.encode()), ImageKind.WASM, architecture="amd64")
                        path = store.use(held, holder=f"{number}") if held else None
                        if path is not None and held is not None:
                            if path.read_bytes() != content:
                                broken.append(name)
                            store.release(held.digest, f"{number}")
                    case _:
                        with suppress(StoreFull):
                            record = put(store, content, name, holder=f"{number}-{i}")
                            if not blob(tmp_path, record).exists():
                                broken.append(name)
                            store.release(record.digest, f"{number}-{i}")

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        assert broken == []
        assert store.counts.damaged == 0
        there = {path.name: path.stat().st_size for path in (tmp_path / "cache" / "blobs" / "sha256").iterdir()}
        assert there.keys() == {one.content[7:] for one in store.images()}
        assert store.bytes_used == sum(there.values()) <= 6000
        assert len(list((tmp_path / "cache" / "images").iterdir())) == len(store.images())
