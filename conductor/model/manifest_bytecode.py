"""Where bytes come from, in manifests: a path (with its digest once pinned), an image, a built-in."""

from __future__ import annotations

import re
from typing import Any

from conductor.errors import InvalidSpec
from conductor.model.kernel import BuiltinObject, Bytecode, ImageObject, PathObject, PullPolicy
from conductor.model.manifest_fields import Fields, shown

__all__ = ["bytecode_of", "bytecode_spec_of", "image_of", "location_spec_of", "map_name_of", "parse_digest", "path_of"]

_PULL_POLICIES = {policy.value: policy for policy in PullPolicy}
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MAP = re.compile(r"[A-Za-z0-9_.]{1,63}")


def bytecode_of(fields: Fields) -> Bytecode:
    """Parse `spec.bytecode`: exactly one of image, builtin, path."""
    if fields.has("digest") and not fields.has("path"):
        return path_of(fields)
    match fields.one_of("image", "builtin", "path"):
        case "image":
            return image_of(fields.fields("image"))
        case "builtin":
            return BuiltinObject(name=fields.text("builtin"))
        case _:
            return path_of(fields)


def path_of(fields: Fields) -> PathObject:
    """Parse `{path, digest}`; a digest alone names what was uploaded."""
    path = fields.text("path", default="")
    digest = parse_digest(fields.text("digest", default=""), fields.at("digest"))
    return PathObject(path=path, digest=digest)


def parse_digest(digest: str, field: str = "digest") -> str:
    """Check `sha256:` and 64 hex digits; empty stays empty."""
    if digest and not _DIGEST.fullmatch(digest):
        raise InvalidSpec(field, f"{shown(digest)} is not sha256: and 64 hex digits")
    return digest


def image_of(fields: Fields) -> ImageObject:
    """Parse `{url, pullPolicy, pullSecret}`."""
    image = ImageObject(
        url=fields.text("url"),
        pull_policy=fields.choice("pullPolicy", _PULL_POLICIES, default=PullPolicy.IF_NOT_PRESENT.value),
        pull_secret=fields.text("pullSecret", default=""),
        digest=parse_digest(fields.text("digest", default=""), fields.at("digest")),
    )
    fields.refuse_unknown()
    return image


def map_name_of(name: str, field: str) -> str:
    """Check a map's name: it becomes a file name below the daemon's pins."""
    if not _MAP.fullmatch(name) or not name.strip("."):
        raise InvalidSpec(field, f"{shown(name)} is not a map's name: 1 to 63 letters, digits, _ and .")
    return name


def bytecode_spec_of(bytecode: Bytecode) -> dict[str, Any]:
    """Print `spec.bytecode`."""
    return {"builtin": bytecode.name} if isinstance(bytecode, BuiltinObject) else location_spec_of(bytecode)


def location_spec_of(location: PathObject | ImageObject) -> dict[str, Any]:
    """Print a path or an image."""
    if isinstance(location, PathObject):
        return {key: value for key, value in (("path", location.path), ("digest", location.digest)) if value}
    image: dict[str, Any] = {"url": location.url, "pullPolicy": location.pull_policy.value}
    image |= {k: v for k, v in (("pullSecret", location.pull_secret), ("digest", location.digest)) if v}
    return {"image": image}
