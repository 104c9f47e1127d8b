"""Tell which of the policy's signers signed an image, from all the evidence. Pure: no network, no files, no clock."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from conductor.oci.trust.claims import bundle_body, names, pae, payload_problem, statement_problem
from conductor.oci.trust.evidence import BundleEvidence, Evidence, SimpleEvidence
from conductor.oci.trust.keys import PublicKey, has_signed, has_signed_digest, public_key
from conductor.oci.trust.signers import IdentitySigner, KeySigner, Signer

if TYPE_CHECKING:
    from conductor.oci.trust.keyless import Certifiers, Told

__all__ = ["Case", "Finding", "examine", "judge"]


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked: which of these signed this digest."""

    digest: str
    signers: tuple[Signer, ...]
    trusted_root: str
    evidence: tuple[Evidence, ...]


@dataclass(slots=True)
class Finding:
    """Who did, by their places among the signers, and a sentence for each piece of evidence that helped nobody."""

    signed: dict[int, str] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)


def judge(case: Case) -> Finding:
    """Judge every piece by itself: one that is damaged, or judged wrongly hard, takes nothing from the others."""
    bench = _Bench(case)
    for piece in case.evidence:
        try:
            match piece:
                case SimpleEvidence():
                    bench.simple(piece)
                case BundleEvidence():
                    bench.bundle(piece)
        except Exception as exc:  # noqa: BLE001 - whatever a stranger's bytes make a parser raise
            bench.finding.found.append(f"a damaged signature ({names([f'{type(exc).__name__}: {exc}'])})")
    return bench.finding


def examine(keys: Mapping[str, str], roots: Mapping[str, str]) -> list[tuple[str, str]]:
    """Say which keys and trusted roots of a policy are of no use, by the places that they were named in."""
    problems: list[tuple[str, str]] = []
    for place, pem in keys.items():
        try:
            public_key(pem)
        except ValueError as exc:
            problems.append((place, str(exc)))
    for place, text in roots.items():
        from conductor.oci.trust.keyless import Certifiers  # noqa: PLC0415 - only identities need its memory

        try:
            Certifiers.read(text)
        except Exception as exc:  # noqa: BLE001 - the library raises its own, pydantic's and ValueError
            problems.append((place, f"is no TrustedRoot that can be used: {names([exc])}"))
    return problems


class _Bench:
    """One case under way."""

    def __init__(self, case: Case) -> None:
        self.finding = Finding()
        self._case = case
        numbered = list(enumerate(case.signers))
        self._keys: list[tuple[int, KeySigner, PublicKey]] = [
            (at, signer, public_key(signer.pem)) for at, signer in numbered if isinstance(signer, KeySigner)
        ]
        self._identities = [(at, signer) for at, signer in numbered if isinstance(signer, IdentitySigner)]
        self._read: Certifiers | None = None

    def simple(self, piece: SimpleEvidence) -> None:
        signature = _decoded(piece.signature)
        known = self._by_key(
            lambda key: has_signed(key, signature, piece.payload),
            lambda: payload_problem(piece.payload, self._case.digest),
        )
        if piece.certificate and self._identities:
            told = self._certifiers.simple(piece, signature)
            self._by_identity(told, "" if told.flaw else payload_problem(piece.payload, self._case.digest))
        elif not known:
            self._nobody(certified=bool(piece.certificate))

    def bundle(self, piece: BundleEvidence) -> None:
        body = bundle_body(piece.body)
        certified = not {"certificate", "x509CertificateChain"}.isdisjoint(body.get("verificationMaterial", {}))
        envelope, message = body.get("dsseEnvelope"), body.get("messageSignature")
        if isinstance(envelope, Mapping):
            known = self._envelope(envelope)
        elif isinstance(message, Mapping):
            known = self._message(message)
        else:
            raise ValueError("a bundle with neither dsseEnvelope nor messageSignature")  # noqa: TRY004 - the bytes are at fault
        if certified and self._identities:
            self._certified(piece)
        elif not known:
            self._nobody(certified=certified)

    def _envelope(self, envelope: Mapping[str, Any]) -> bool:
        kind, payload = str(envelope["payloadType"]), _decoded(envelope["payload"])
        signed = pae(kind, payload)
        signatures = [_decoded(each["sig"]) for each in envelope["signatures"][:8]]
        return self._by_key(
            lambda key: any(has_signed(key, signature, signed) for signature in signatures),
            lambda: statement_problem(kind, payload, self._case.digest),
        )

    def _message(self, message: Mapping[str, Any]) -> bool:
        signature = _decoded(message["signature"])
        wanted = bytes.fromhex(self._case.digest.removeprefix("sha256:"))
        return self._by_key(lambda key: has_signed_digest(key, signature, wanted), lambda: "")

    def _certified(self, piece: BundleEvidence) -> None:
        told = self._certifiers.bundle(piece, self._case.digest)
        self._by_identity(told, told.problem)

    def _by_key(self, made: Callable[[PublicKey], bool], problem: Callable[[], str]) -> bool:
        """Count the keys that made a signature; answer whether any did, for this image or not."""
        known = False
        for at, signer, key in self._keys:
            if made(key):
                known = True
                if wrong := problem():
                    self.finding.found.append(f"a signature by {signer}, but {wrong}")
                else:
                    self.finding.signed[at] = str(signer)
        return known

    def _by_identity(self, told: Told, problem: str) -> None:
        who = f"{names(sorted(told.subjects))} ({names([told.issuer])})"
        if told.flaw:
            self.finding.found.append(f"a signature that says it is by identity {who}, but {told.flaw}")
            return
        fitting = [at for at, signer in self._identities if signer.matches(told.issuer, told.subjects)]
        if problem:
            self.finding.found.append(f"a signature by identity {who}, but {problem}")
        elif fitting:
            self.finding.signed |= dict.fromkeys(fitting, f"identity {who}")
        else:
            self.finding.found.append(f"a signature by another identity, {who}")

    def _nobody(self, *, certified: bool) -> None:
        what = (
            "a signature by an identity, while only keys are asked for" if certified else "a signature by another key"
        )
        self.finding.found.append(what)

    @property
    def _certifiers(self) -> Certifiers:
        if self._read is None:
            from conductor.oci.trust.keyless import Certifiers  # noqa: PLC0415 - only identities need its memory

            self._read = Certifiers.read(self._case.trusted_root)
        return self._read


def _decoded(text: Any) -> bytes:
    try:
        return base64.b64decode(str(text), validate=True)
    except binascii.Error as exc:
        raise ValueError(f"no base64: {exc}") from exc
