"""Programs write from their threads while ticks and renders go on in others."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np

SERIES = 3_000
WRITERS = 3
SECONDS = 1.5


def written(bench: Any, spec: Any, name: str, stop: threading.Event) -> None:
    sink = bench.store.sink(name, 10_000)
    handle = sink.declare(spec(labels=("a",), ttl=3_600.0))
    rows = [(str(i),) for i in range(SERIES)]
    round_ = 0
    while not stop.is_set():
        ids = sink.intern(handle, rows)
        sink.add(ids, np.ones(SERIES))
        round_ += 1
        if round_ % 10 == 0:
            sink.remove(ids[::7])


def test_no_scrape_sees_a_torn_or_falling_counter(bench: Any, spec: Any) -> None:
    stop = threading.Event()
    threads = [threading.Thread(target=written, args=(bench, spec, f"p{i}", stop)) for i in range(WRITERS)]
    for thread in threads:
        thread.start()
    seen: dict[str, float] = {}
    renders = 0
    try:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            for line in bench.samples():
                series, _, number = line.rpartition(" ")
                assert float(number) >= seen.get(series, 0.0), line
                seen[series] = float(number)
            renders += 1
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)
    assert renders > 3
    assert len(seen) == WRITERS * SERIES


def test_a_whole_write_is_on_the_page_or_none_of_it(bench: Any, spec: Any) -> None:
    sink = bench.store.sink("p", 10_000)
    ids = sink.intern(sink.declare(spec("level", labels=("a",))), [(str(i),) for i in range(SERIES)])
    sink.set(ids, np.zeros(SERIES))
    stop = threading.Event()

    def write() -> None:
        round_ = 0.0
        while not stop.is_set():
            round_ += 1.0
            sink.set(ids, np.full(SERIES, round_))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(30):
            assert len({line.rpartition(" ")[2] for line in bench.samples()}) == 1
    finally:
        stop.set()
        thread.join(10)
