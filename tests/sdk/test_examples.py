"""Every example of every SDK: made, built, checked, and played its recording."""

from __future__ import annotations

import json

import pytest

from conductor.cli.wasm_project import Language
from conductor.wasm.needs import parse_needs
from conductor.wasm.sections import sections
from tests.sdk.conftest import LANGUAGES, Conduct, Make, examples_of

ALL = [(language, example) for language in LANGUAGES for example in examples_of(language)]
pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize(("language", "example"), ALL)
def test_an_example_shows_what_it_should_of_its_recording(
    conduct: Conduct, made: Make, language: Language, example: str
) -> None:
    folder = made(language, example)
    conduct("wasm", "check", folder / f"{example}.wasm")
    played = conduct(
        *("wasm", "replay", folder / f"{example}.wasm", folder / "recording.jsonl"),
        *("--expect", folder / "expected.json", "-o", "json"),
    )
    metrics = json.loads(played.stdout)["metrics"]
    assert {"name", "labels", "value"} == set(metrics[0])
    assert all("program" not in metric["labels"] for metric in metrics)


@pytest.mark.parametrize("language", LANGUAGES)
def test_sizes_of_maps_come_from_the_kernel_half(made: Make, language: Language) -> None:
    module = (made(language, "syscall_counter") / "syscall_counter.wasm").read_bytes()
    text = next(section.content for section in sections(module) if section.name == "conductor_v1.needs")
    need = parse_needs(text).maps[0]
    assert (need.type.value, need.key_size, need.value_size) == ("percpu_array", 4, 8)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_replay_that_differs_from_what_is_expected_fails(conduct: Conduct, made: Make, language: Language) -> None:
    folder = made(language, "psi_watch")
    (folder / "wrong.json").write_text('{"metrics": [{"name": "psi_watch_ticks_total", "labels": {}, "value": 4}]}')
    played = conduct(
        *("wasm", "replay", folder / "psi_watch.wasm", folder / "recording.jsonl", "--expect", folder / "wrong.json"),
        ok=False,
    )
    assert played.returncode == 1
    assert "to be 4, and it is 3" in played.stderr
