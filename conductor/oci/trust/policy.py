"""The image policy: which images must be signed, and by whom. Parsed by `policy_file`; this decides."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Self

from conductor.model.reference import Reference
from conductor.oci.trust.signers import KeySigner, Signer, printed

__all__ = ["Demand", "Mode", "Rule", "TrustPolicy"]

_SHOWN: Final = 4
_JUDGED_AS: Final = 1
"""Raise it when the judge's answers change, so that verdicts kept from before are not believed."""


class Demand(StrEnum):
    """What a rule asks of an image."""

    NOTHING = "accept: any"
    IMPOSSIBLE = "reject: all"
    ANY = "anyOf"
    ALL = "allOf"


class Mode(StrEnum):
    """What follows when an image does not meet its rule."""

    ENFORCE = "enforce"
    AUDIT = "audit"


@dataclass(frozen=True, slots=True)
class Rule:
    """What images below a prefix must bring. An empty prefix is the rule for all that no other one names."""

    images: str
    demand: Demand
    signers: tuple[Signer, ...] = ()
    mode: Mode = Mode.ENFORCE
    trusted_root: str = field(default="", repr=False)
    """JSON text of Sigstore's TrustedRoot; empty where no identity is asked for."""

    @property
    def title(self) -> str:
        """How sentences name it."""
        return f"the rule for {self.images}" if self.images else "the default rule"

    @property
    def wants(self) -> str:
        """What would be accepted, as the end of a sentence."""
        match self.demand:
            case Demand.NOTHING:
                return "nothing"
            case Demand.IMPOSSIBLE:
                return "no image at all from there"
            case Demand.ANY:
                return f"a signature by {self._named(' or ')}"
            case Demand.ALL:
                return f"signatures by {self._named(' and ')}"

    def _named(self, between: str) -> str:
        more = len(self.signers) - _SHOWN
        return between.join([*map(str, self.signers[:_SHOWN]), *([f"{more} more"] if more > 0 else [])])

    def met_by(self, signed: frozenset[int]) -> bool:
        """Whether it is met when the signers at these places have signed."""
        match self.demand:
            case Demand.NOTHING:
                return True
            case Demand.IMPOSSIBLE:
                return False
            case Demand.ANY:
                return bool(signed)
            case Demand.ALL:
                return bool(self.signers) and signed >= frozenset(range(len(self.signers)))

    @property
    def fingerprint(self) -> str:
        """Hash of all that a verdict follows from, besides the image."""
        said = [_JUDGED_AS, self.demand, [printed(signer) for signer in self.signers], self.trusted_root]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


_CLOSED: Final = Rule("", Demand.IMPOSSIBLE)
OPEN: Final = Rule("", Demand.NOTHING)
"""Stands where there is no policy file."""


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """Every rule. What no rule names is refused, unless the default says otherwise."""

    rules: tuple[Rule, ...]
    default: Rule = _CLOSED
    where: str = ""

    @classmethod
    def parse(cls, text: str, *, where: str) -> Self:
        """Parse a policy file; files that it names lie beside it. Raises `InvalidConfig` with every bad field."""
        from conductor.oci.trust.policy_file import parsed  # noqa: PLC0415 - it builds what this module defines

        rules, default = parsed(text, where)
        return cls(rules=rules, default=default or _CLOSED, where=where)

    @classmethod
    def absent(cls) -> Self:
        """Stand in where no policy is given: every image is accepted."""
        return cls(rules=(), default=OPEN)

    @property
    def is_absent(self) -> bool:
        """No policy was given."""
        return self.default is OPEN

    def rule_for(self, ref: Reference) -> Rule:
        """Choose the rule with the longest prefix, counted in whole components."""
        name = canonical(ref.name)
        fitting = [rule for rule in self.rules if f"{name}/".startswith(f"{rule.images}/")]
        return max(fitting, key=lambda rule: len(rule.images), default=self.default)

    @property
    def keys(self) -> tuple[KeySigner, ...]:
        """Every key that it names."""
        every = (signer for rule in (*self.rules, self.default) for signer in rule.signers)
        return tuple(signer for signer in every if isinstance(signer, KeySigner))


def canonical(name: str) -> str:
    """Leave the port of https out, so that `ghcr.io:443/x` falls under the rule for `ghcr.io/x`."""
    registry, slash, repository = name.partition("/")
    host, colon, port = registry.rpartition(":")
    return f"{host}{slash}{repository}" if colon and port.isdecimal() and int(port) == 443 else name
