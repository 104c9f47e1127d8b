"""The page is a snapshot of the last tick, encodes only what changed, and can be filtered and compressed."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import numpy as np
import pytest

from conductor.exporter.deflate import Deflater

ONE = np.array([1.0])


def test_a_write_is_shown_by_the_next_tick_only(bench: Any, spec: Any, put: Any) -> None:
    sink = bench.store.sink("p", 10)
    ids = put(sink, spec(), {(): 5.0})
    before = bench.text()
    sink.add(ids, ONE)
    assert bench.page.render(openmetrics=False, gzip=False).decode() == before
    assert bench.samples() == ['hits_total{program="p"} 6.0']


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("openmetrics", [False, True])
def test_an_unchanged_page_is_the_same_bytes_object(
    bench: Any, spec: Any, put: Any, openmetrics: bool, compressed: bool
) -> None:
    put(bench.store.sink("p", 10), spec(), {(): 5.0})
    bench.tick()
    first = bench.page.render(openmetrics=openmetrics, gzip=compressed)
    put(bench.store.sink("p", 10), spec(), {(): 5.0})
    bench.tick()
    assert bench.page.render(openmetrics=openmetrics, gzip=compressed) is first


def test_only_blocks_with_a_changed_series_are_encoded_again(bench: Any, spec: Any) -> None:
    sink = bench.store.sink("p", 10_000)
    ids = sink.intern(sink.declare(spec(labels=("a",))), [(str(i),) for i in range(5_000)])
    sink.set(ids, np.arange(5_000.0))
    bench.text()
    (sheet,) = (sheet for cut in [sink] for sheet in [cut._tables[0].sheet])
    before = list(sheet.blocks())
    sink.set(ids[[1_100, 4_000]], np.array([0.5, 0.5]))
    text = bench.text()
    kept = [new is old for new, old in zip(sheet.blocks(), before, strict=True) if old]
    assert kept == [True, False, True, False, True]
    assert 'hits_total{a="1100",program="p"} 0.5\n' in text
    assert 'hits_total{a="1101",program="p"} 1101.0\n' in text


@pytest.mark.parametrize("openmetrics", [False, True])
def test_gzip_is_one_member_with_the_same_page(bench: Any, spec: Any, openmetrics: bool) -> None:
    sink = bench.store.sink("p", 10_000)
    ids = sink.intern(sink.declare(spec(labels=("a",))), [(str(i),) for i in range(5_000)])
    for round_ in range(3):
        sink.set(ids[:: round_ + 1], np.random.default_rng(round_).random(len(ids[:: round_ + 1])))
        plain = bench.text(openmetrics=openmetrics).encode()
        packed = bench.page.render(openmetrics=openmetrics, gzip=True)
        reader = zlib.decompressobj(wbits=31)
        assert reader.decompress(packed) == plain
        assert reader.eof
        assert not reader.unused_data
        assert gzip.decompress(packed) == plain


def test_gzip_of_nothing() -> None:
    assert gzip.decompress(Deflater().compress([])) == b""


def fill(bench: Any, spec: Any, put: Any) -> None:
    for name in ("p", "q"):
        put(bench.store.sink(name, 10), spec(), {(): 1.0})
        put(bench.store.sink(name, 10), spec("level"), {(): 2.0})
    up = spec("conductor_program_up", labels=("program",))
    put(bench.store.self_sink(), up, {("p",): 1.0, ("q",): 0.0, ('x,program="p"',): 3.0})


def test_filter_by_program_takes_the_agents_words_about_it_too(bench: Any, spec: Any, put: Any) -> None:
    fill(bench, spec, put)
    assert bench.samples(programs=["p"]) == [
        'conductor_program_up{program="p"} 1.0',
        'hits_total{program="p"} 1.0',
        'level{program="p"} 2.0',
    ]


@pytest.mark.parametrize("name", ["hits_total", "hits"])
def test_filter_by_name(bench: Any, spec: Any, put: Any, name: str) -> None:
    fill(bench, spec, put)
    assert bench.samples(names=[name]) == ['hits_total{program="p"} 1.0', 'hits_total{program="q"} 1.0']


def test_filters_of_nothing_known_give_an_empty_page(bench: Any, spec: Any, put: Any) -> None:
    fill(bench, spec, put)
    assert bench.text(programs=["nobody"]) == ""
    assert bench.text(names=["nothing"], openmetrics=True) == "# EOF\n"


def test_a_tick_never_waits_for_a_render(bench: Any, spec: Any, put: Any) -> None:
    ids = put(bench.store.sink("p", 10), spec(), {(): 5.0})
    with bench.page._lock:  # as a render in another thread would hold it
        for _ in range(3):
            bench.store.sink("p", 10).add(ids, ONE)
            bench.tick()
    assert bench.page.render(openmetrics=False, gzip=False).splitlines()[-1] == b'hits_total{program="p"} 8.0'


def test_render_keeps_account(bench: Any, spec: Any, put: Any) -> None:
    put(bench.store.sink("p", 10), spec(), {(): 5.0})
    bench.tick()
    for _ in range(3):
        body = bench.page.render(openmetrics=False, gzip=False)
    stats = bench.page.stats
    assert (stats.renders, stats.ready, stats.last_bytes) == (3, 2, len(body))


def test_filtered_pages_kept_are_few(bench: Any, spec: Any, put: Any) -> None:
    put(bench.store.sink("p", 10), spec(), {(): 5.0})
    bench.tick()
    for index in range(100):
        bench.page.render(openmetrics=False, gzip=False, programs=[str(index)])
    assert len(bench.page._ready) <= 4
