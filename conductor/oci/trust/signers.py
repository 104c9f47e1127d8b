"""Whom a policy trusts: keys, and identities that a certificate states."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from typing_extensions import override

__all__ = ["IdentitySigner", "KeySigner", "Signer", "fits", "printed", "signer_from"]


@dataclass(frozen=True, slots=True)
class KeySigner:
    """A public key; `name` is what people call it: its file, or its place in the policy."""

    name: str
    pem: str

    @override
    def __str__(self) -> str:
        """Name it as verdicts do."""
        return f"key {self.name}"


@dataclass(frozen=True, slots=True)
class IdentitySigner:
    """Who a certificate must have been given to, and who vouched for them; `*` in a pattern is any text."""

    issuer: str = ""
    issuer_pattern: str = ""
    subject: str = ""
    subject_pattern: str = ""

    @override
    def __str__(self) -> str:
        """Name it as verdicts do."""
        return f"identity {self.subject or self.subject_pattern} ({self.issuer or self.issuer_pattern})"

    def matches(self, issuer: str, subjects: Collection[str]) -> bool:
        """Whether a certificate with this issuer and these subjects is theirs."""
        by_issuer = issuer == self.issuer if self.issuer else fits(self.issuer_pattern, issuer)
        if self.subject:
            return by_issuer and self.subject in subjects
        return by_issuer and any(fits(self.subject_pattern, subject) for subject in subjects)


Signer = KeySigner | IdentitySigner


def signer_from(raw: Mapping[str, Any]) -> Signer:
    """Read what `asdict` made of a signer."""
    return KeySigner(**raw) if "pem" in raw else IdentitySigner(**raw)


def fits(pattern: str, text: str) -> bool:
    """Whether the whole text is the pattern with any text for each `*`; linear in both, whatever they are."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    last = rest.pop()
    if not text.startswith(first) or len(text) < len(first) + len(last) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in rest:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def printed(signer: Signer) -> dict[str, str]:
    """Print a signer for `signer_from`."""
    return asdict(signer)
