"""A caller's plain arguments as a LoadRequest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from conductor.api.wire import spec_to_wire
from conductor.model.grants import MapGrant
from conductor.model.ids import parse_name
from conductor.model.kernel import ImageObject, PathObject, PullPolicy
from conductor.model.manifest_limits import parse_limits
from conductor.model.manifest_user import parse_config
from conductor.model.program import BuiltinSource, UserProgramSpec, WasmSource
from conductor.proto.agent import v1 as pb

__all__ = ["Wish", "image_request", "load_request"]


class Wish(TypedDict, total=False):
    """What `load` and `update` take beside the name; all of it may be left out."""

    builtin: str
    """Stem of a built-in, when it is not the name."""
    wasm: Path | str
    """A module instead of a built-in: a Path is uploaded; a string is what `upload` answered, or an image reference."""
    pull_policy: PullPolicy
    credentials: tuple[str, str]
    """User name and password for the image's registry; sent, never kept."""
    config: Mapping[str, Any]
    maps: Sequence[MapGrant]
    limits: Mapping[str, str]
    metadata: Mapping[str, str]


def load_request(name: str, wish: Wish) -> pb.LoadRequest:
    """Check and print a wish whose module, if any, was uploaded. Raises `InvalidSpec`."""
    spec = UserProgramSpec(
        name=parse_name(name),
        source=_source(name, wish),
        maps=tuple(wish.get("maps", ())),
        config=parse_config(wish.get("config")),
        limits=parse_limits(wish.get("limits", {})),
        metadata=dict(wish.get("metadata", {})),
    )
    request = spec_to_wire(spec)
    if "credentials" in wish and isinstance(spec.source, WasmSource) and isinstance(spec.source.location, ImageObject):
        location = spec.source.location
        image = image_request(location.url, location.pull_policy, wish["credentials"])
        request.bytecode = pb.BytecodeLocation(image=image)
    return request


def image_request(url: str, policy: PullPolicy, credentials: tuple[str, str] | None) -> pb.BytecodeImage:
    """Print an image's address, with credentials if it needs them."""
    user, password = credentials or (None, None)
    number = list(PullPolicy).index(policy)
    return pb.BytecodeImage(url=url, image_pull_policy=number, username=user, password=password)


def _source(name: str, wish: Wish) -> BuiltinSource | WasmSource:
    if "wasm" not in wish:
        return BuiltinSource(name=wish.get("builtin") or name)
    wasm = str(wish["wasm"])
    if wasm.startswith("sha256:"):
        return WasmSource(location=PathObject(path="", digest=wasm))
    policy = wish.get("pull_policy", PullPolicy.IF_NOT_PRESENT)
    return WasmSource(location=ImageObject(url=wasm, pull_policy=policy))
