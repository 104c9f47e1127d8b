"""Signatures by identity: a certificate given to somebody for minutes, and a log that says when it was used.

sigstore's library judges bundles. It has no door for the older form, where log entry and certificate are annotations
beside the payload; for that the same steps are taken here with the library's own parts, some of which it keeps private:
that is why its version is held in pyproject.toml.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from sigstore._internal.sct import verify_sct
from sigstore._internal.timestamp import TimestampSource, TimestampVerificationResult
from sigstore._internal.trust import KeyringPurpose
from sigstore._utils import KeyID
from sigstore.errors import Error, VerificationError
from sigstore.hashes import Hashed
from sigstore.models import Bundle, TrustedRoot
from sigstore.verify import Verifier
from sigstore_models.common.v1 import HashAlgorithm
from sigstore_models.trustroot.v1 import TrustedRoot as RootFile

from conductor.oci.trust.claims import bundle_body, names, statement_problem
from conductor.oci.trust.evidence import BundleEvidence, SimpleEvidence
from conductor.oci.trust.keys import PublicKey, has_signed, is_taken

__all__ = ["Certifiers", "Told", "identity_of"]

_ISSUER_V1 = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_ISSUER = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
_USERNAME = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.7")


@dataclass(frozen=True, slots=True)
class Told:
    """Who a certificate names; `flaw` says why it is not to be believed, `problem` why it vouches for nothing here."""

    issuer: str
    subjects: frozenset[str]
    flaw: str = ""
    problem: str = ""


class Certifiers:
    """The authorities, logs and time stampers of one trusted root."""

    def __init__(self, *, root: TrustedRoot) -> None:
        self._root, self._verifier = root, Verifier(trusted_root=root)

    @classmethod
    def read(cls, text: str) -> Self:
        """Read Sigstore's TrustedRoot. Raises what the library does: its `Error`, pydantic's, `ValueError`."""
        root = TrustedRoot(RootFile.from_json(text))
        root.get_fulcio_certs()
        root.rekor_keyring(KeyringPurpose.VERIFY)
        root.ct_keyring(KeyringPurpose.VERIFY)
        return cls(root=root)

    def bundle(self, piece: BundleEvidence, digest: str) -> Told:
        """Verify a bundle, then read what it says. Raises `ValueError` where it holds no certificate."""
        issuer, subjects = identity_of(_certificate_in(bundle_body(piece.body)))
        try:
            bundle = Bundle.from_json(piece.body)
            if bundle._dsse_envelope is None:  # noqa: SLF001 - the library has no public question for it
                hashed = Hashed(algorithm=HashAlgorithm.SHA2_256, digest=bytes.fromhex(digest.removeprefix("sha256:")))
                self._verifier.verify_artifact(hashed, bundle, _Anybody())
                return Told(issuer, subjects)
            kind, payload = self._verifier.verify_dsse(bundle, _Anybody())
        except Error as exc:
            return Told(issuer, subjects, flaw=_flaw(exc))
        return Told(issuer, subjects, problem=statement_problem(kind, payload, digest))

    def simple(self, piece: SimpleEvidence, signature: bytes) -> Told:
        """Verify cosign's older form: certificate, log entry and payload belong together. The payload is not read."""
        certificate = x509.load_pem_x509_certificate(piece.certificate.encode())
        issuer, subjects = identity_of(certificate)
        try:
            entry = self._log_entry(piece.rekor)
            self._certified_at(certificate, datetime.fromtimestamp(entry["integratedTime"], tz=UTC))
            _recorded(base64.b64decode(entry["body"]), certificate, signature, piece.payload)
        except Error as exc:
            return Told(issuer, subjects, flaw=_flaw(exc))
        return Told(issuer, subjects)

    def _log_entry(self, annotation: str) -> Mapping[str, Any]:
        """Read a log entry whose promise the log signed."""
        if not annotation:
            raise VerificationError("it comes without a log entry, so nobody knows when it was made")
        said = json.loads(annotation)
        entry = {name: said["Payload"][name] for name in ("body", "integratedTime", "logID", "logIndex")}
        # RFC 8785: for texts of ASCII and whole numbers that is sorted keys without spaces.
        signed = json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()
        keyring = self._root.rekor_keyring(KeyringPurpose.VERIFY)
        promise = base64.b64decode(said["SignedEntryTimestamp"])
        try:
            keyring.verify(key_id=KeyID(bytes.fromhex(entry["logID"])), signature=promise, data=signed)
        except VerificationError as exc:
            raise VerificationError("no log of the trusted root promised its log entry") from exc
        return entry

    def _certified_at(self, certificate: x509.Certificate, at: datetime) -> None:
        time = TimestampVerificationResult(source=TimestampSource.TRANSPARENCY_SERVICE, time=at)
        chain = self._verifier._verify_chain_at_time(certificate, time)  # noqa: SLF001 - as the module says
        verify_sct(certificate, chain, self._root.ct_keyring(KeyringPurpose.VERIFY))
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        if not usage.digital_signature or ExtendedKeyUsageOID.CODE_SIGNING not in purposes:
            raise VerificationError("its certificate is not for signing code")


class _Anybody:
    """The library wants to be told whom to accept; the rule's identities are compared afterwards, to name who it was."""

    def verify(self, cert: x509.Certificate) -> None:
        """Accept the certificate, which the library has traced to its root already."""


def identity_of(certificate: x509.Certificate) -> tuple[str, frozenset[str]]:
    """Read issuer and subjects out of a certificate as Fulcio writes them."""
    extensions = certificate.extensions
    issuer = ""
    for oid in (_ISSUER, _ISSUER_V1):
        try:
            value = extensions.get_extension_for_oid(oid).value
        except x509.ExtensionNotFound:
            continue
        assert isinstance(value, x509.UnrecognizedExtension)
        issuer = asn1.decode_der(str, value.value) if oid == _ISSUER else value.value.decode()
        break
    try:
        names_ = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return issuer, frozenset()
    subjects = {*names_.get_values_for_type(x509.RFC822Name)}
    subjects |= {*names_.get_values_for_type(x509.UniformResourceIdentifier)}
    others = names_.get_values_for_type(x509.OtherName)
    subjects |= {asn1.decode_der(str, other.value) for other in others if other.type_id == _USERNAME}
    return issuer, frozenset(subjects)


def _certificate_in(body: Mapping[str, Any]) -> x509.Certificate:
    material = body["verificationMaterial"]
    held = material.get("certificate") or material["x509CertificateChain"]["certificates"][0]
    return x509.load_der_x509_certificate(base64.b64decode(held["rawBytes"]))


def _recorded(body: bytes, certificate: x509.Certificate, signature: bytes, payload: bytes) -> None:
    """Check that this very signature, by this certificate's key and over this payload, is what the log recorded."""
    key = certificate.public_key()
    if not isinstance(key, PublicKey) or not is_taken(key) or not has_signed(key, signature, payload):
        raise VerificationError("its certificate's key did not make it, or the payload was changed")
    said = json.loads(body)
    spec = said["spec"]
    recorded = x509.load_pem_x509_certificate(base64.b64decode(spec["signature"]["publicKey"]["content"]))
    same = (
        said["kind"] == "hashedrekord"
        and spec["data"]["hash"] == {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()}
        and base64.b64decode(spec["signature"]["content"]) == signature
        and recorded.public_bytes(Encoding.DER) == certificate.public_bytes(Encoding.DER)
    )
    if not same:
        raise VerificationError("the log recorded something else than this signature")


def _flaw(exc: Error) -> str:
    said = str(exc)
    if "not valid at validation time" in said or "expired at time of signing" in said:
        return "its certificate was not valid when it was signed"
    if "certificate chain" in said:
        return f"its certificate is by no authority of the trusted root ({names([said])})"
    if "failed to load bundle" in said:
        return f"its bundle cannot be read ({names([said])})"
    if "digest mismatch" in said or "invalid for input" in said:
        return "it is for another digest, or was changed"
    return names([said])
