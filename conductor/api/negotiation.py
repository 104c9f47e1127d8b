"""What a scraper asks for: the format by Accept, gzip by Accept-Encoding, q-values respected (RFC 9110, 12.5)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

__all__ = ["takes_gzip", "wants_openmetrics"]

_OPENMETRICS: Final = "application/openmetrics-text"
_TEXT: Final = "text/plain"
_VERSIONS: Final = {_OPENMETRICS: "1.0.0", _TEXT: "0.0.4"}


def wants_openmetrics(accept: str) -> bool:
    """Whether OpenMetrics 1.0 is asked for, and not less than the plain text; wildcards alone mean text."""
    weights: dict[str, float] = {}
    for kind, parameters, weight in _items(accept):
        if parameters.get("version", _VERSIONS.get(kind)) == _VERSIONS.get(kind):
            weights[kind] = max(weight, weights.get(kind, 0.0))
    text = _first(weights, _TEXT, "text/*", "*/*")
    openmetrics = _first(weights, _OPENMETRICS, "application/*")
    return openmetrics > 0 and openmetrics >= text


def takes_gzip(accept_encoding: str) -> bool:
    """Whether gzip may be sent and the bare page is not liked better."""
    weights = {coding: weight for coding, _, weight in _items(accept_encoding)}
    gzip = _first(weights, "gzip", "x-gzip", "*")
    return gzip > 0 and gzip >= weights.get("identity", 0.0)


def _first(weights: dict[str, float], *names: str) -> float:
    """Weight of the most specific name that is there."""
    return next((weights[name] for name in names if name in weights), 0.0)


def _items(header: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """Split a header into names, parameters and weights; an item with a broken weight is skipped."""
    for item in header.lower().split(","):
        name, *rest = (part.strip() for part in item.split(";"))
        parameters = {key.strip(): value.strip().strip('"') for key, _, value in (part.partition("=") for part in rest)}
        try:
            weight = float(parameters.pop("q", "1"))
        except ValueError:
            continue
        if name and 0 <= weight <= 1:
            yield name, parameters, weight
