"""Policy files: what is read, what is refused, which rule an image falls under."""

from __future__ import annotations

from pathlib import Path

import pytest

from conductor.errors import InvalidConfig
from conductor.model.reference import Reference
from conductor.oci.trust.policy import Demand, Mode, Rule, TrustPolicy
from conductor.oci.trust.signers import KeySigner
from tests.oci.trust.workshop import key, pem


def parsed(text: str, where: Path | str = "policy.yaml") -> TrustPolicy:
    return TrustPolicy.parse(text, where=str(where))


def problems(text: str, where: Path | str = "policy.yaml") -> str:
    with pytest.raises(InvalidConfig) as caught:
        parsed(text, where)
    return str(caught.value)


THREE = """
default: {accept: any}
rules:
  - images: ghcr.io
    reject: all
  - images: ghcr.io/acme
    accept: any
    mode: audit
  - images: ghcr.io/acme/secret/
    reject: all
"""


@pytest.mark.parametrize(
    ("image", "rule"),
    [
        ("ghcr.io/acme/tool", "ghcr.io/acme"),
        ("ghcr.io/acme/tool:v1", "ghcr.io/acme"),
        ("ghcr.io/acme/secret", "ghcr.io/acme/secret"),
        ("ghcr.io/acme/secret/deeper", "ghcr.io/acme/secret"),
        ("ghcr.io/acme/secrets", "ghcr.io/acme"),
        ("ghcr.io/acme-evil/tool", "ghcr.io"),
        ("GHCR.IO/acme/tool", "ghcr.io/acme"),
        ("ghcr.io:443/acme/tool", "ghcr.io/acme"),
        ("ghcr.io:5000/acme/tool", ""),
        ("ghcr.io.evil/acme/tool", ""),
        ("nginx", ""),
    ],
)
def test_the_longest_prefix_of_whole_words_decides(image: str, rule: str) -> None:
    assert parsed(THREE).rule_for(Reference.parse(image)).images == rule


def test_what_no_rule_names_is_refused_without_a_default() -> None:
    policy = parsed("rules: [{images: ghcr.io/acme, accept: any}]")
    assert policy.rule_for(Reference.parse("ghcr.io/other/x")).demand is Demand.IMPOSSIBLE


def test_no_policy_accepts_everything() -> None:
    policy = TrustPolicy.absent()
    assert policy.is_absent
    assert policy.rule_for(Reference.parse("nginx")).demand is Demand.NOTHING


def test_a_policy_that_accepts_all_is_a_policy() -> None:
    assert not parsed("default: {accept: any}").is_absent


def test_a_key_lies_beside_the_file_or_in_it(tmp_path: Path) -> None:
    mine, yours = pem(key()), pem(key())
    (tmp_path / "cosign.pub").write_text(mine)
    inline = "\n".join(f"          {line}" for line in yours.splitlines())
    text = f"""
rules:
  - images: ghcr.io/acme
    mode: audit
    allOf:
      - key: cosign.pub
      - name: yours
        key: |
{inline}
"""
    rule = parsed(text, tmp_path / "policy.yaml").rules[0]
    assert (rule.demand, rule.mode) == (Demand.ALL, Mode.AUDIT)
    assert rule.signers == (KeySigner("cosign.pub", mine.strip()), KeySigner("yours", yours.strip()))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "must be a mapping"),
        ("[]", "must be a mapping"),
        ("{", "is no YAML"),
        ("{}", "no rule and no default"),
        ("rules: []", "no rule and no default"),
        ("rules: {}", "no rule and no default"),
        ("rules: 3", "must be a list"),
        ("default: {accept: any}\ndefault: {reject: all}", "'default' is given twice"),
        ("rulez: []\ndefault: {accept: any}", "rulez: is not known here"),
        ("rules: [{accept: any}]", "rules[0].images: must be a registry"),
        ("rules: [{images: 'ghcr.io/*', accept: any}]", "without *"),
        ("rules: [{images: GHCR.io, accept: any}]", "must be a registry"),
        ("rules: [{images: acme, accept: any}]", "must be a registry"),
        ("rules: [{images: 'ghcr.io/a:v1', accept: any}]", "must be a registry"),
        ("rules: [{images: ghcr.io}]", "exactly one of anyOf"),
        ("rules: [{images: ghcr.io, accept: any, reject: all}]", "exactly one of anyOf"),
        ("rules: [{images: ghcr.io, accept: all}]", "is written accept: any"),
        ("rules: [{images: ghcr.io, accept: any, mode: warn}]", "must be enforce or audit"),
        ("rules: [{images: ghcr.io, anyOf: []}]", "list of 1 to"),
        ("rules: [{images: ghcr.io, allOf: []}]", "list of 1 to"),
        ("rules: [{images: ghcr.io, anyOf: [{}]}]", "either key, or issuer and subject"),
        ("rules: [{images: ghcr.io, anyOf: [{key: nowhere.pub}]}]", "nowhere.pub: No such file"),
        ("rules: [{images: ghcr.io, anyOf: [{issuer: a, subject: b}]}]", "identities need trustedRoot"),
        ("rules: [{images: ghcr.io, anyOf: [{issuer: a}]}]", "either subject or subjectPattern"),
        ("rules: [{images: ghcr.io, anyOf: [{issuer: a, subject: 'b*'}]}]", "write subjectPattern"),
        ("rules: [{images: ghcr.io, anyOf: [{issuer: a, issuerPattern: a, subject: b}]}]", "either issuer or"),
        ("default: {accept: any}\ntrustedRoot: nowhere.json", "nowhere.json: No such file"),
        ("default: {images: ghcr.io, accept: any}", "default.images: is not known here"),
        ("rules: [{images: ghcr.io, accept: any}, {images: ghcr.io/, reject: all}]", "has a rule already: rules[0]"),
        ("rules: [{images: ghcr.io, accept: any}, {images: 'ghcr.io:443', reject: all}]", "has a rule already"),
    ],
)
def test_what_is_wrong_is_told(text: str, told: str) -> None:
    assert told in problems(text)


def test_every_bad_field_is_told_at_once() -> None:
    told = problems("rules: [{images: 3, accept: no}, {images: ghcr.io, mode: loud, anyOf: [{key: nowhere}]}]")
    for field in ("rules[0].images", "rules[0].accept", "rules[1].mode", "rules[1].anyOf[0].key"):
        assert f"policy.yaml: {field}: " in told


def test_a_private_key_is_named_as_one_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "cosign.key").write_text("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n")
    text = "rules: [{images: ghcr.io, anyOf: [{key: cosign.key}]}]"
    told = problems(text, tmp_path / "policy.yaml")
    assert "rules[0].anyOf[0].key: holds a private key" in told
    assert "c2VjcmV0" not in told


def test_what_is_no_key_and_no_root_is_told_by_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.pub").write_text("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    (tmp_path / "root.json").write_text("{}")
    text = "trustedRoot: root.json\nrules: [{images: ghcr.io, anyOf: [{key: a.pub}]}]"
    told = problems(text, tmp_path / "policy.yaml")
    assert "rules[0].anyOf[0].key: is no public key in PEM" in told
    assert "trustedRoot: is no TrustedRoot" in told


def test_a_verdict_follows_from_demand_signers_and_root_alone(tmp_path: Path) -> None:
    (tmp_path / "a.pub").write_text(pem(key()))
    (tmp_path / "b.pub").write_text(pem(key()))

    def fingerprint(rule: str) -> str:
        return parsed(f"rules: [{{images: ghcr.io, {rule}}}]", tmp_path / "p.yaml").rules[0].fingerprint

    first = fingerprint("anyOf: [{key: a.pub}]")
    assert fingerprint("mode: audit, anyOf: [{key: a.pub}]") == first
    others = {fingerprint("anyOf: [{key: b.pub}]"), fingerprint("allOf: [{key: a.pub}]")}
    assert first not in others
    assert len(others) == 2


def test_a_rule_with_many_signers_names_a_few() -> None:
    signers = tuple(KeySigner(f"{at}.pub", "") for at in range(32))
    told = Rule("ghcr.io", Demand.ANY, signers).wants
    assert told == "a signature by key 0.pub or key 1.pub or key 2.pub or key 3.pub or 28 more"
