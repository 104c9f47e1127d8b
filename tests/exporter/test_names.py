"""What may not be declared is refused with the field and a sentence."""

from __future__ import annotations

from typing import Any

import pytest

from conductor.errors import InvalidSpec
from conductor.model.metrics import MetricKind

REFUSED = [
    ("a-b", {}, ("metric.name", "letters, digits")),
    ("", {}, ("metric.name", "letters, digits")),
    ("1a", {}, ("metric.name", "letters, digits")),
    ("ä", {}, ("metric.name", "letters, digits")),
    ("a" * 201, {}, ("metric.name", "200")),
    ("hits", {"kind": MetricKind.COUNTER}, ("metric.name", "ends in _total")),
    ("_total", {}, ("metric.name", "before _total")),
    ("conductor_mine", {}, ("metric.name", "agent's own")),
    ("hits_total", {"labels": ("program",)}, ("metric.labels", "set by the agent")),
    ("hits_total", {"labels": ("a", "a")}, ("metric.labels", "twice")),
    ("hits_total", {"labels": ("__a",)}, ("metric.labels", "label name")),
    ("hits_total", {"labels": ("a:b",)}, ("metric.labels", "label name")),
    ("hits_total", {"labels": ("a\n",)}, ("metric.labels", "label name")),
    ("hits_total", {"labels": tuple(f"l{i}" for i in range(33))}, ("metric.labels", "32")),
    ("hits_total", {"unit": "bytes"}, ("metric.unit", "must end in _bytes")),
    ("hits_total", {"unit": "a b"}, ("metric.unit", "must end in")),
    ("hits_total", {"help": "x" * 2_001}, ("metric.help", "2000")),
    ("hits_total", {"ttl": 0.0}, ("metric.ttl", "above 0")),
    ("hits_total", {"ttl": float("nan")}, ("metric.ttl", "above 0")),
    ("hits_total", {"buckets": (1.0,)}, ("metric.buckets", "only histograms")),
    ("took", {"kind": MetricKind.HISTOGRAM}, ("metric.buckets", "1 to 256")),
    ("took", {"kind": MetricKind.HISTOGRAM, "buckets": (2.0, 1.0)}, ("metric.buckets", "ascending")),
    ("took", {"kind": MetricKind.HISTOGRAM, "buckets": (1.0, float("inf"))}, ("metric.buckets", "finite")),
    ("took", {"kind": MetricKind.HISTOGRAM, "buckets": (float("nan"),)}, ("metric.buckets", "finite")),
    ("took", {"kind": MetricKind.HISTOGRAM, "buckets": (1.0,), "labels": ("le",)}, ("metric.labels", "le")),
]


@pytest.mark.parametrize(("name", "fields", "refusal"), REFUSED)
def test_refused(bench: Any, spec: Any, name: str, fields: dict[str, Any], refusal: tuple[str, str]) -> None:
    with pytest.raises(InvalidSpec) as refused:
        bench.store.sink("p", 10).declare(spec(name, **fields))
    assert refused.value.field == refusal[0]
    assert refusal[1] in refused.value.problem
    assert bench.text() == ""


@pytest.mark.parametrize("name", ["a", "A_b9", "ns:rule", "x_count", "x_bucket", "sent_bytes_total"])
def test_taken(bench: Any, spec: Any, name: str) -> None:
    assert bench.store.sink("p", 10).declare(spec(name)) == 0


def test_the_agent_may_use_what_is_reserved(bench: Any, spec: Any, put: Any) -> None:
    put(bench.store.self_sink(), spec("conductor_program_up", labels=("program",)), {("x",): 1.0})
    assert bench.samples() == ['conductor_program_up{program="x"} 1.0']
