"""Whether an image may run: its rule, a verdict kept from before, else signatures gathered and judged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from conductor.errors import ConductorError, ImageUntrusted, RegistryAway
from conductor.model.image import Credentials
from conductor.model.reference import Reference
from conductor.oci.trust.discover import Gathered, Registry, gather
from conductor.oci.trust.evidence import Evidence
from conductor.oci.trust.judges import Judges
from conductor.oci.trust.policy import Demand, Mode, Rule, TrustPolicy
from conductor.oci.trust.verdicts import Verdicts

__all__ = ["Verdict", "Verifier"]

_GATHER_SECONDS: Final = 120.0
_SHOWN: Final = 4
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """That an image may run, and by whose word; `audited` says what enforcing would have refused it for.

    `by` says that too, so that whoever shows only this tells the whole.
    """

    allowed: bool
    by: str
    audited: str = ""


class Judge(Protocol):
    """Who tells which of a rule's signers signed: a child, or this process."""

    async def judge(
        self, digest: str, rule: Rule, evidence: Sequence[Evidence]
    ) -> tuple[dict[int, str], tuple[str, ...]]:
        """Answer the signers by their places, and what else was found."""
        ...


class Verifier:
    """Hold images against one policy."""

    def __init__(
        self, *, policy: TrustPolicy, client: Registry, verdicts: Path | None, judges: Judge | None = None
    ) -> None:
        self._policy, self._client = policy, client
        self.verdicts = Verdicts(root=verdicts)
        self._judges = judges or Judges()

    async def check(self, ref: Reference, digest: str, *, credentials: Credentials | None = None) -> Verdict:
        """Answer that `digest`, which `ref` resolved to, may run.

        Raises `ImageUntrusted` with what was found and what the policy wants, `RegistryAway` where a registry that
        fails may hold what is missing, `SignaturesUnjudged`. A rule that only audits raises none of them.
        """
        rule = self._policy.rule_for(ref)
        if rule.demand is Demand.NOTHING:
            return Verdict(
                allowed=True, by="no policy" if self._policy.is_absent else f"{rule.title}, which accepts any"
            )
        kept = await asyncio.to_thread(self.verdicts.find, digest, rule.fingerprint)
        if kept is not None:
            return Verdict(allowed=True, by=kept)
        try:
            by = await self._judged(rule, ref, digest, credentials)
        except ConductorError as exc:
            if rule.mode is Mode.ENFORCE:
                raise
            log.warning("the image policy would refuse this (audit): %s", exc)
            return Verdict(allowed=True, by=f"nobody (audit): {exc}", audited=str(exc))
        await asyncio.to_thread(self.verdicts.keep, digest, rule.fingerprint, by)
        return Verdict(allowed=True, by=by)

    async def _judged(self, rule: Rule, ref: Reference, digest: str, credentials: Credentials | None) -> str:
        if rule.demand is Demand.IMPOSSIBLE:
            raise ImageUntrusted(f"{ref.at(digest)}: {rule.title} in the image policy accepts {rule.wants}")
        gathered = await self._gathered(ref, digest, credentials)
        signed: dict[int, str] = {}
        found: tuple[str, ...] = ()
        if gathered.pieces:
            signed, found = await self._judges.judge(digest, rule, gathered.pieces)
        if rule.met_by(frozenset(signed)):
            return ", ".join(dict.fromkeys(by for _, by in sorted(signed.items())))
        if gathered.away is not None:
            raise gathered.away
        good = [f"a good signature by {by}" for _, by in sorted(signed.items())]
        raise ImageUntrusted(
            f"{ref.at(digest)}: {rule.title} in the image policy wants {rule.wants}; "
            f"found {_told([*good, *found, *gathered.notes])}"
        )

    async def _gathered(self, ref: Reference, digest: str, credentials: Credentials | None) -> Gathered:
        try:
            async with asyncio.timeout(_GATHER_SECONDS):
                return await gather(self._client, ref, digest, credentials=credentials)
        except TimeoutError:
            message = f"looking for signatures of {ref.at(digest)} took more than {_GATHER_SECONDS:g} s"
            raise RegistryAway(message) from None


def _told(found: Sequence[str]) -> str:
    """List each thing once, the first few of them."""
    unique = list(dict.fromkeys(found))
    if not unique:
        return "no signature"
    more = f" and {len(unique) - _SHOWN} more" if len(unique) > _SHOWN else ""
    return "; ".join(unique[:_SHOWN]) + more
