"""What a 401 asks for: `WWW-Authenticate`, read without trust (RFC 9110, section 11.6.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

__all__ = ["Challenge", "parse_challenges"]

_LONGEST = 8192
_SCHEME = re.compile(r"[\s,]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?=\s+|\s*,|\s*$)\s*")
_PARAMETER = re.compile(r"[\s,]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s,\"]*))")
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*(?=\s*,|\s*$)")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One scheme that a server offers, with its parameters; both in lower case."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse_challenges(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """Read every challenge of every header; what cannot be read ends its header."""
    found: list[Challenge] = []
    for header in headers:
        text, at = header[:_LONGEST], 0
        while (scheme := _SCHEME.match(text, at)) and scheme.end() > at:
            at = scheme.end()
            parameters: dict[str, str] = {}
            while pair := _PARAMETER.match(text, at):
                parameters[pair[1].lower()] = re.sub(r"\\(.)", r"\1", pair[2]) if pair[2] is not None else pair[3]
                at = pair.end()
            if not parameters and (blob := _TOKEN68.match(text, at)) and "=" in blob[0]:
                at = blob.end()
            found.append(Challenge(scheme[1].lower(), parameters))
    return tuple(found)
