"""docs/operators.md is true: its files parse, its states and reasons are those of the agent."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path

from conductor.api.manifests import specs_of
from conductor.config import Config
from conductor.managers.names_file import parse_names
from conductor.model.manifest_limits import parse_limits
from conductor.model.program import Limits
from conductor.model.status import State
from tests.docs.reading import blocks

PAGE = (Path(__file__).parents[2] / "docs/operators.md").read_text()


def test_settings_manifests_and_names_are_taken_as_they_stand() -> None:
    (settings,), (manifest,), (names,) = (blocks(PAGE, language) for language in ("toml", "yaml", "names"))
    config = Config.parse(flags={}, environ={}, file=tomllib.loads(settings))
    assert (config.read_group, config.groups) == ("adm", ("adm",))
    assert [spec.name for spec in specs_of(manifest)] == ["flows"]
    found, problems = parse_names(names)
    assert (len(found), problems) == (3, ())


def test_the_limits_are_those_that_programs_have_by_default() -> None:
    (table,) = re.findall(r"\| limit \|.*?\n\|---.*?\n(.*?)\n\n", PAGE, re.DOTALL)
    told = dict(re.findall(r"^\| `(\w+)` \| (\S+) \|", table, re.MULTILINE))
    assert parse_limits(told) == Limits()
    assert len(told) == len(fields(Limits))


def test_every_state_is_explained() -> None:
    told = set(re.findall(r"^\| `([A-Z][a-z]\w+)` \|", PAGE, re.MULTILINE))
    assert told == {state.word for state in State if state is not State.UNINITIALIZED}


def test_every_reason_is_one_that_can_be_met() -> None:
    (sentence,) = re.findall(r"Frequent reasons: (.*?)\n\n", PAGE, re.DOTALL)
    sources = "".join(path.read_text() for path in (Path(__file__).parents[2] / "conductor").rglob("*.py"))
    reasons = re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`", sentence)
    assert len(reasons) >= 8
    assert [reason for reason in reasons if f'"{reason}"' not in sources] == []
