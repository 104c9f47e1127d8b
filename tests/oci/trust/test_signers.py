"""Whom a pattern names."""

from __future__ import annotations

import time

import pytest

from conductor.oci.trust.signers import IdentitySigner, KeySigner, fits, printed, signer_from


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("*", ""),
        ("*", "anything"),
        ("a", "a"),
        ("a*", "a"),
        ("https://github.com/acme/*", "https://github.com/acme/tool/.github/workflows/r.yaml@refs/heads/main"),
        ("*@acme.example", "ada@acme.example"),
        ("a*b*c", "a-b-b-c"),
        ("a*a", "aa"),
    ],
)
def test_a_pattern_is_any_text_for_each_star(pattern: str, text: str) -> None:
    assert fits(pattern, text)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("a", "ab"),
        ("https://github.com/acme/*", "https://github.com/acme-evil/tool"),
        ("*@acme.example", "ada@acme.example.evil"),
        ("a*a", "a"),
        ("a*b*c", "a-c-b"),
        ("a.c", "abc"),
        ("", "a"),
    ],
)
def test_the_whole_text_must_be_the_pattern(pattern: str, text: str) -> None:
    assert not fits(pattern, text)


def test_no_pattern_takes_long() -> None:
    started = time.monotonic()
    assert not fits("*a" * 250, "a" * 249 + "b" * 4000)
    assert time.monotonic() - started < 1


def test_an_identity_needs_both_its_issuer_and_its_subject() -> None:
    ada = IdentitySigner(issuer="https://accounts.example", subject="ada@acme.example")
    assert ada.matches("https://accounts.example", {"ada@acme.example"})
    assert not ada.matches("https://other.example", {"ada@acme.example"})
    assert not ada.matches("https://accounts.example", {"eve@acme.example"})
    assert not ada.matches("https://accounts.example", ())


@pytest.mark.parametrize("signer", [KeySigner("cosign.pub", "PEM"), IdentitySigner(issuer="i", subject_pattern="s*")])
def test_a_signer_survives_the_way_to_the_judge(signer: KeySigner | IdentitySigner) -> None:
    assert signer_from(printed(signer)) == signer
