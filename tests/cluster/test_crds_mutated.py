"""Manifests changed at random: a real API server and our own check find the same wrong with each, word for word."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest

from conductor.model.schema.check import causes_of
from conductor.model.schema.kinds import KINDS
from tests.cluster.test_crds import NOT_CHECKED, posted
from tests.cluster.testbed import Testbed
from tests.model.bad_manifests import BAD
from tests.model.test_manifest_garbage import KERNEL, USER, paths, put

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]
ROUNDS = 400
SEEDS = [KERNEL, USER, *(bad.document for bad in BAD if len(str(bad.document)) < 1500)]
KEYS = ("nme", "x", "links", "path", "name", "type", "builtin", "wasm", "image", "digest", "netns", "priority")
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 5, 1001, 1 << 31, 0.5, 1000.5, "", "x", "X", "a b", "/x", "a/b", "5", "-1", "1.5.2"),
    *(
        "30s",
        "500ms",
        "10%",
        "32Mi",
        "1e3",
        "٣",
        "٣s",
        "é",
        "x\n",
        "a" * 64,
        "a" * 130,
        "9" * 33,
        "In",
        "XDP",
        "Attach",
    ),
    *(
        [],
        {},
        ["x"],
        [None],
        [[{"name": "f"}]],
        {"a": 1},
        {"a": "b"},
        [{"a": 1}],
        [{"name": "f"}],
        "sha256:" + "0" * 64,
    ),
)


def changed(draw: random.Random) -> dict[str, Any]:
    document = copy.deepcopy(draw.choice(SEEDS))
    for _ in range(draw.choice((1, 1, 2, 3))):
        path = draw.choice([path for path in paths(document) if path[:1] == ("spec",)])
        if draw.random() < 0.15 and isinstance(path[-1], str):
            path = (*path[:-1], draw.choice(KEYS)) if len(path) > 1 else path
        document = put(document, path, copy.deepcopy(draw.choice(VALUES)))
    return dict(document)


def told_by_the_server(bed: Testbed, document: dict[str, Any]) -> list[tuple[str, str]]:
    answer = posted(bed, document)
    if answer["kind"] != "Status":
        return []
    if causes := answer["details"].get("causes") if "details" in answer else None:
        return sorted({(cause["field"], cause["message"]) for cause in causes if cause["field"] != NOT_CHECKED})
    return [("", message) for message in sorted(answer["message"].partition("strict decoding error: ")[2].split(", "))]


def told_by_us(document: dict[str, Any]) -> list[tuple[str, str]]:
    causes = causes_of(document, KINDS[document["kind"]])
    if any(cause.message.startswith("unknown field ") for cause in causes):
        return [("", message) for message in sorted(cause.message for cause in causes)]
    return sorted({(cause.field, cause.message) for cause in causes})


def test_a_changed_manifest_is_judged_alike(kinds: Testbed) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    refused = 0
    for _ in range(ROUNDS):
        document = changed(draw)
        told = told_by_the_server(kinds, document)
        assert told_by_us(document) == told, document
        refused += bool(told)
    assert ROUNDS // 2 < refused < ROUNDS
