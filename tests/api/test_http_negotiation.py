"""Formats and codings by what scrapers really send, and by what the RFC says of weights."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conductor.api.negotiation import takes_gzip, wants_openmetrics

PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;"
    "q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
TEXT_FIRST = "text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5"


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        (PROMETHEUS_3, True),
        (PROMETHEUS_2, True),
        (TEXT_FIRST, False),
        ("", False),
        ("*/*", False),
        ("text/html,application/xhtml+xml,*/*;q=0.8", False),
        ("application/openmetrics-text", True),
        ('APPLICATION/OpenMetrics-Text; Version="1.0.0"; charset=utf-8', True),
        ("application/openmetrics-text;version=2.0.0", False),
        ("application/openmetrics-text;q=0,*/*", False),
        ("application/openmetrics-text, text/plain", True),
        ("application/openmetrics-text;q=0.4, */*;q=0.5", False),
        ("text/plain;q=0.1,*/*;q=0.9,application/openmetrics-text;q=0.5", True),
        ("application/openmetrics-text;q=high", False),
        ("application/openmetrics-text;q=7", False),
    ],
)
def test_format(accept: str, openmetrics: bool) -> None:
    assert wants_openmetrics(accept) is openmetrics


@pytest.mark.parametrize(
    ("accept_encoding", "gzip"),
    [
        ("gzip", True),
        ("gzip, deflate, br", True),
        ("GZIP;q=0.5", True),
        ("*", True),
        ("", False),
        ("identity", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("*;q=0", False),
        ("gzip;q=0.5, identity;q=0.8", False),
        ("gzip;q=0.8, identity;q=0.5", True),
    ],
)
def test_coding(accept_encoding: str, gzip: bool) -> None:
    assert takes_gzip(accept_encoding) is gzip


@given(st.text(max_size=200) | st.text(alphabet="gzip*/;=q01.,text plain", max_size=200))
def test_no_header_is_too_strange(header: str) -> None:
    assert wants_openmetrics(header) in (True, False)
    assert takes_gzip(header) in (True, False)
