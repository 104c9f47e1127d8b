"""Names of addresses on machines without a cluster."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor.managers.names_file import LINES, address_of, parse_names
from conductor.model.facts import Workload


def test_both_forms_comments_and_empty_lines() -> None:
    text = "# mine\n\n10.0.0.1 nas  # upstairs\nfd00::1 shop/StatefulSet/db\n::ffff:10.0.0.2 tv\n"
    assert parse_names(text) == (
        {
            address_of("10.0.0.1"): Workload(kind="Host", name="nas"),
            address_of("fd00::1"): Workload(kind="StatefulSet", name="db", namespace="shop"),
            address_of("10.0.0.2"): Workload(kind="Host", name="tv"),
        },
        (),
    )


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("10.0.0.1", "not an address and one name"),
        ("10.0.0.1 a b", "not an address and one name"),
        ("10.0.0 nas", "'10.0.0' is not an address"),
        ("10.0.0.1 a/b", "not NAME or NAMESPACE/KIND/NAME"),
        ("10.0.0.1 a//b", "not NAME or NAMESPACE/KIND/NAME"),
    ],
)
def test_a_bad_line_is_told_and_passed_over(line: str, says: str) -> None:
    names, bad = parse_names(f"{line}\n10.0.0.5 good\n")
    assert list(names) == [address_of("10.0.0.5")]
    assert bad[0].startswith("line 1: ")
    assert says in bad[0]


def test_the_first_name_of_an_address_counts() -> None:
    names, bad = parse_names("10.0.0.1 one\n10.0.0.1 two\n10.0.0.1 one\n")
    assert names[address_of("10.0.0.1")].name == "one"
    assert bad == ("line 2: 10.0.0.1 has a name already",)


def test_a_file_that_is_too_long_says_so() -> None:
    names, bad = parse_names("10.0.0.1 nas\n" * (LINES + 1))
    assert (len(names), bad) == (1, (f"lines past {LINES} are too many",))


@given(st.text())
def test_no_text_is_too_strange(text: str) -> None:
    names, bad = parse_names(text)
    assert all(len(address) == 16 for address in names)
    assert all(problem.startswith("line ") for problem in bad)
