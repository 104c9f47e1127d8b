"""Addresses change hands: the latest claim has one, and what nobody claims is forgotten after a while."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor.managers.claims import ClaimBook
from conductor.model.facts import Claim, Workload

IP, OTHER = bytes(15) + b"\x01", bytes(15) + b"\x02"


def claim(name: str, *addresses: bytes, since: int = 0, leaving: bool = False) -> Claim:
    return Claim(addresses=addresses, workload=Workload(kind="Deployment", name=name), since=since, leaving=leaving)


def holder(book: ClaimBook, address: bytes = IP) -> str | None:
    found = book.get(address)
    return found.name if found else None


@pytest.fixture
def book() -> ClaimBook:
    return ClaimBook(grace=60)


def test_an_address_answers_its_last_owner_for_a_while(book: ClaimBook) -> None:
    book.put("a", claim("a", IP), 0)
    book.drop("a", 10)
    assert not book.forget(69)
    assert holder(book) == "a"
    assert book.forget(70) == 1
    assert holder(book) is None


def test_a_new_owner_has_it_at_once(book: ClaimBook) -> None:
    book.put("a", claim("a", IP), 0)
    book.drop("a", 1)
    book.put("b", claim("b", IP), 2)
    assert holder(book) == "b"
    assert not book.forget(1000), "it is claimed again: nothing is forgotten"
    assert holder(book) == "b"


def test_the_owner_that_comes_back_keeps_it(book: ClaimBook) -> None:
    book.put("a", claim("a", IP), 0)
    book.drop("a", 1)
    book.put("a", claim("a", IP), 2)
    book.forget(1000)
    assert holder(book) == "a"


def test_a_late_word_on_the_old_owner_changes_nothing(book: ClaimBook) -> None:
    book.put("old", claim("old", IP, since=1), 0)
    book.put("new", claim("new", IP, since=2), 1)
    book.put("old", claim("old", IP, since=1, leaving=True), 2)
    book.drop("old", 3)
    book.forget(1000)
    assert holder(book) == "new"


def test_one_that_is_being_deleted_gives_way_to_an_older_one(book: ClaimBook) -> None:
    book.put("young", claim("young", IP, since=9), 0)
    book.put("old", claim("old", IP, since=1), 0)
    assert holder(book) == "young"
    book.put("young", claim("young", IP, since=9, leaving=True), 0)
    assert holder(book) == "old"


def test_of_two_the_one_that_stays_has_it_back(book: ClaimBook) -> None:
    book.put("a", claim("a", IP, since=1), 0)
    book.put("b", claim("b", IP, since=2), 0)
    book.drop("b", 1)
    assert holder(book) == "a"


def test_a_changed_claim_gives_up_what_it_does_not_name(book: ClaimBook) -> None:
    book.put("a", claim("a", IP), 0)
    book.put("a", claim("a", OTHER), 1)
    book.forget(100)
    assert (holder(book), holder(book, OTHER)) == (None, "a")


def test_a_name_that_is_found_out_later_is_taken_by_rivals_too(book: ClaimBook) -> None:
    book.put("a", claim("a", IP, since=1), 0)
    book.put("b", claim("b", IP, since=2), 0)
    book.rename("a", Workload(kind="CronJob", name="nightly"))
    assert holder(book) == "b"
    book.drop("b", 1)
    assert book.get(IP) == Workload(kind="CronJob", name="nightly")


def test_what_is_past_the_bound_is_counted() -> None:
    book = ClaimBook(most=1)
    book.put("a", claim("a", IP), 0)
    book.put("b", claim("b", OTHER), 0)
    assert (book.left_out, len(book), holder(book, OTHER)) == (1, 1, None)
    book.drop("b", 1)


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sets(st.sampled_from([IP, OTHER])), st.integers(0, 3), st.booleans()),
        max_size=30,
    )
)
def test_whatever_happens_an_address_is_held_by_the_greatest_that_claims_it(
    steps: list[tuple[str, set[bytes], int, bool]],
) -> None:
    book, claims = ClaimBook(grace=5), dict[str, Claim]()
    for now, (key, addresses, since, leaving) in enumerate(steps):
        if addresses:
            claims[key] = claim(key, *sorted(addresses), since=since, leaving=leaving)
            book.put(key, claims[key], now)
        else:
            claims.pop(key, None)
            book.drop(key, now)
        book.forget(now)
        for address in (IP, OTHER):
            ranks = {name: (not one.leaving, one.since) for name, one in claims.items() if address in one.addresses}
            if ranks:
                held = holder(book, address)
                assert held is not None
                assert ranks.get(held) == max(ranks.values())
    for key in "abc":
        book.drop(key, 100)
    book.forget(200)
    assert len(book) == 0
