"""Read a policy file: YAML in, rules out, every bad field told at once."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from typing_extensions import override
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode, ScalarNode

from conductor.errors import InvalidConfig, InvalidSpec
from conductor.model.reference import Reference
from conductor.oci.trust.judges import examined
from conductor.oci.trust.policy import Demand, Mode, Rule, canonical
from conductor.oci.trust.signers import IdentitySigner, KeySigner, Signer

__all__ = ["parsed"]

_LARGEST_POLICY, _LARGEST_KEY, _LARGEST_ROOT = 1 << 20, 16 << 10, 1 << 20
_MOST_RULES, _MOST_SIGNERS, _LONGEST_WORD = 256, 32, 512
_RULE_FIELDS: Final = ("images", "anyOf", "allOf", "accept", "reject", "mode", "trustedRoot")
_IDENTITY_FIELDS: Final = ("issuer", "issuerPattern", "subject", "subjectPattern")
_HOST: Final = re.compile(r"[a-z0-9\[][-a-z0-9.:\]]*")


def parsed(text: str, where: str) -> tuple[tuple[Rule, ...], Rule | None]:
    """Answer the rules and the default. Raises `InvalidConfig`."""
    reader = _Reader(where)
    found = reader.read(text)
    if not reader.problems:
        reader.problems += [(f"{where}: {place}", problem) for place, problem in examined(reader.keys, reader.roots)]
    if reader.problems:
        raise InvalidConfig(tuple(reader.problems))
    return found


class _Reader:
    """Walk one file, noting what is wrong and every key and root for the examination."""

    def __init__(self, where: str) -> None:
        self._where, self._beside = where, Path(where).parent
        self.problems: list[tuple[str, str]] = []
        self.keys: dict[str, str] = {}
        self.roots: dict[str, str] = {}

    def read(self, text: str) -> tuple[tuple[Rule, ...], Rule | None]:
        raw = self._document(text)
        self._unknown(raw, "", ("trustedRoot", "default", "rules"))
        root = self._root(raw, "trustedRoot")
        rules = raw.get("rules") or []
        if not isinstance(rules, list) or len(rules) > _MOST_RULES:
            self._bad("rules", f"must be a list of at most {_MOST_RULES} rules")
            rules = []
        if not rules and "default" not in raw:
            self._bad("rules", "the file has no rule and no default; write at least one, or leave --image-policy out")
        made = [self._rule(rule, f"rules[{at}]", root) for at, rule in enumerate(rules)]
        default = self._rule(raw["default"], "default", root) if "default" in raw else None
        self._twice([rule.images for rule in made])
        return tuple(made), default

    def _document(self, text: str) -> Mapping[str, Any]:
        if len(text) > _LARGEST_POLICY:
            self._bad("", f"the file is larger than {_LARGEST_POLICY >> 10} KiB")
            return {"default": {"reject": "all"}}
        try:
            raw = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
        except (yaml.YAMLError, RecursionError, ValueError) as exc:
            self._bad("", f"is no YAML: {' '.join(str(exc).split())[:300]}")
            return {"default": {"reject": "all"}}
        if not isinstance(raw, Mapping):
            self._bad("", "must be a mapping with rules and default")
            return {"default": {"reject": "all"}}
        return raw

    def _rule(self, raw: Any, place: str, root: str) -> Rule:
        """Read one rule; what is wrong makes it refuse everything, and the file unusable."""
        if not isinstance(raw, Mapping):
            self._bad(place, f"must be a mapping with {', '.join(_RULE_FIELDS)}")
            return Rule(place, Demand.IMPOSSIBLE)
        self._unknown(raw, place, _RULE_FIELDS if place != "default" else _RULE_FIELDS[1:])
        images = self._images(raw, place) if place != "default" else ""
        demand, signers = self._demand(raw, place)
        root = self._root(raw, f"{place}.trustedRoot") or root
        if any(isinstance(signer, IdentitySigner) for signer in signers) and not root:
            self._bad(place, "identities need trustedRoot: a file with the roots of whoever certifies them")
        mode = raw.get("mode", Mode.ENFORCE)
        if mode not in tuple(Mode):
            self._bad(f"{place}.mode", "must be enforce or audit")
            mode = Mode.ENFORCE
        needs_root = any(isinstance(signer, IdentitySigner) for signer in signers)
        return Rule(images, demand, signers, Mode(mode), root if needs_root else "")

    def _images(self, raw: Mapping[str, Any], place: str) -> str:
        images = raw.get("images")
        hint = "must be a registry or the beginning of a repository in whole words, such as ghcr.io/acme, without *"
        if not isinstance(images, str) or len(images) > _LONGEST_WORD:
            self._bad(f"{place}.images", hint)
            return place
        host, slash, repository = images.rstrip("/").partition("/")
        known = _HOST.fullmatch(host) and (host == "localhost" or any(mark in host for mark in ".:["))
        try:
            ref = Reference.parse(f"{host}/{repository if slash else 'a/b'}@sha256:{'0' * 64}")
        except InvalidSpec:
            known = None
        if not known or ref.tag or images != images.lower():
            self._bad(f"{place}.images", f"{images!r} {hint}")
            return place
        # A word of its own below docker.io is an owner here, never an official image: those lie under library/.
        return canonical(f"{ref.registry}{slash}{repository}")

    def _demand(self, raw: Mapping[str, Any], place: str) -> tuple[Demand, tuple[Signer, ...]]:
        given = [name for name in ("anyOf", "allOf", "accept", "reject") if name in raw]
        if len(given) != 1:
            self._bad(place, "must have exactly one of anyOf, allOf, accept: any, reject: all")
            return Demand.IMPOSSIBLE, ()
        [name] = given
        if name in ("accept", "reject"):
            if (name, raw[name]) not in (("accept", "any"), ("reject", "all")):
                self._bad(f"{place}.{name}", "is written accept: any, or reject: all")
            return (Demand.NOTHING if name == "accept" else Demand.IMPOSSIBLE), ()
        signers = raw[name]
        if not isinstance(signers, list) or not 0 < len(signers) <= _MOST_SIGNERS:
            self._bad(f"{place}.{name}", f"must be a list of 1 to {_MOST_SIGNERS} keys and identities")
            return Demand.IMPOSSIBLE, ()
        made = [self._signer(signer, f"{place}.{name}[{at}]") for at, signer in enumerate(signers)]
        return Demand(name), tuple(signer for signer in made if signer)

    def _signer(self, raw: Any, place: str) -> Signer | None:
        if not isinstance(raw, Mapping) or ("key" in raw) == bool(set(raw) & set(_IDENTITY_FIELDS)):
            self._bad(place, "must have either key, or issuer and subject (or issuerPattern, subjectPattern)")
            return None
        if "key" in raw:
            self._unknown(raw, place, ("key", "name"))
            return self._key(raw, place)
        self._unknown(raw, place, _IDENTITY_FIELDS)
        words = {name: self._word(raw, name, place) for name in _IDENTITY_FIELDS if name in raw}
        for exact in ("issuer", "subject"):
            if bool(words.get(exact)) == bool(words.get(f"{exact}Pattern")):
                self._bad(place, f"must have either {exact} or {exact}Pattern")
            if "*" in words.get(exact, ""):
                self._bad(f"{place}.{exact}", f"is compared as it stands; write {exact}Pattern where * is any text")
        return IdentitySigner(
            words.get("issuer", ""),
            words.get("issuerPattern", ""),
            words.get("subject", ""),
            words.get("subjectPattern", ""),
        )

    def _key(self, raw: Mapping[str, Any], place: str) -> KeySigner | None:
        key = raw["key"]
        if not isinstance(key, str) or not key:
            self._bad(f"{place}.key", "must be a file with a public key in PEM, or that text itself")
            return None
        inline = "-----BEGIN" in key
        pem = key if inline else self._file(key, f"{place}.key", _LARGEST_KEY)
        if pem is None:
            return None
        name = self._word(raw, "name", place) if "name" in raw else place if inline else Path(key).name
        self.keys[f"{place}.key"] = pem.strip()
        return KeySigner(name, pem.strip())

    def _root(self, raw: Mapping[str, Any], place: str) -> str:
        if "trustedRoot" not in raw:
            return ""
        name = raw["trustedRoot"]
        if not isinstance(name, str) or not name:
            self._bad(place, "must be a file with Sigstore's TrustedRoot in JSON")
            return ""
        text = self._file(name, place, _LARGEST_ROOT)
        if text is None:
            return ""
        try:
            text = json.dumps(json.loads(text), sort_keys=True)
        except (ValueError, RecursionError) as exc:
            self._bad(place, f"{name} is no JSON: {exc}")
            return ""
        self.roots[place] = text
        return text

    def _file(self, name: str, place: str, limit: int) -> str | None:
        path = self._beside / name
        try:
            with path.open("rb") as file:
                data = file.read(limit + 1)
            if len(data) > limit:
                self._bad(place, f"{path} is larger than {limit >> 10} KiB")
                return None
            return data.decode()
        except OSError as exc:
            self._bad(place, f"{path}: {exc.strerror}")
        except ValueError:
            self._bad(place, f"{path} is no text")
        return None

    def _word(self, raw: Mapping[str, Any], name: str, place: str) -> str:
        word = raw[name]
        if not isinstance(word, str) or not 0 < len(word) <= _LONGEST_WORD or not word.isprintable():
            self._bad(f"{place}.{name}", f"must be a text of 1 to {_LONGEST_WORD} characters")
            return ""
        return word

    def _unknown(self, raw: Mapping[str, Any], place: str, known: tuple[str, ...]) -> None:
        for name in raw:
            if name not in known:
                self._bad(f"{place}.{name}".strip("."), f"is not known here; known are {', '.join(known)}")

    def _twice(self, images: list[str]) -> None:
        for at, name in enumerate(images):
            if name in images[:at]:
                self._bad(f"rules[{at}].images", f"{name} has a rule already: rules[{images.index(name)}]")

    def _bad(self, place: str, problem: str) -> None:
        self.problems.append((f"{self._where}: {place}" if place else self._where, problem))


class _Loader(yaml.SafeLoader):
    """YAML's plain types; a key given twice is refused: of two demands only one would count."""

    @override
    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, ScalarNode):
                if key.value in seen:
                    raise ConstructorError(None, None, f"{key.value[:80]!r} is given twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)
