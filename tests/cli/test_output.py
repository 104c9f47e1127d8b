from __future__ import annotations

import json
import unicodedata
from typing import Literal

import pytest
import yaml

from conductor.cli import assignments
from conductor.cli.output import Column, columns, show, write
from conductor.cli.shapes import age, timestamp
from conductor.model.grants import Access, MapGrant
from conductor.model.ids import Name
from tests.cli.conftest import Conduct

TABLE = (Column("NAME", lambda d: d["name"]), Column("MESSAGE", lambda d: d["message"]))


def test_what_a_program_says_cannot_move_a_terminal() -> None:
    text = columns([{"name": "a", "message": "\x1b[2J\r\nowned\x07"}], TABLE)
    assert text == "NAME  MESSAGE\na      [2J  owned\n"


def test_columns_are_as_wide_as_their_widest_cell_and_lines_end_clean() -> None:
    items = [{"name": "a-long-name", "message": ""}, {"name": "b", "message": "x"}]
    assert columns(items, TABLE) == "NAME         MESSAGE\na-long-name\nb            x\n"


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_documents_hold_no_control_character_and_say_the_same(
    form: Literal["json", "yaml"], capsys: pytest.CaptureFixture[str]
) -> None:
    said = {"message": "".join(map(chr, range(0x20, 0x2030))), "é": "tschüß \x9b31m", "none": "\x85"}
    write(said, form)
    shown = capsys.readouterr().out
    assert [c for c in shown if unicodedata.category(c) == "Cc" and c != "\n"] == []
    assert "tschüß" in shown
    assert (json.loads if form == "json" else yaml.safe_load)(shown) == said


def test_an_empty_list_is_still_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    show([], TABLE, "json", empty="nothing")
    captured = capsys.readouterr()
    assert (json.loads(captured.out), captured.err) == ({"items": []}, "")


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0s"), (119, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"), (172_800, "2d")]
)
def test_ages(seconds: int, words: str) -> None:
    assert age(1000.0, 1000.0 + seconds) == words


def test_a_time_that_never_was_has_no_age_and_no_timestamp() -> None:
    assert (age(0.0, 5.0), timestamp(0.0)) == ("", None)
    assert timestamp(1_700_000_000.25) == "2023-11-14T22:13:20.250Z"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("0.5", 0.5),
        ("true", True),
        ("null", None),
        ('"5"', "5"),
        ("ip", "ip"),
        ("", ""),
        ("[1, 2]", [1, 2]),
        ("NaN", "NaN"),
        ("a=b", "a=b"),
    ],
)
def test_config_values_are_json_if_they_parse_else_text(text: str, value: object) -> None:
    assert assignments.config([f"key={text}"]) == {"key": value}


@pytest.mark.parametrize(
    ("text", "grant"),
    [
        ("a=k", ("a", "k", "a", Access.READ)),
        ("a=k/m", ("a", "k", "m", Access.READ)),
        ("a=k/m:consume", ("a", "k", "m", Access.CONSUME)),
        ("a=k:rw", ("a", "k", "a", Access.READ_WRITE)),
    ],
)
def test_grants(text: str, grant: tuple[str, str, str, Access]) -> None:
    name, program, map_name, access = grant
    assert assignments.grants([text]) == (
        MapGrant(name=name, kernel_program=Name(program), map=map_name, access=access),
    )


def test_a_sentence_moves_no_terminal(agent: Conduct) -> None:
    said = agent("apply", "-f", "\x1b[2J\x9b31m")
    assert (said.code, said.err) == (1, "conductor:  [2J 31m: No such file or directory\n")
