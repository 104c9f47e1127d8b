"""What the image cache writes down of an image, as JSON; readable by versions before and after this one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

from conductor.model.image import ImageKind

__all__ = ["RECORD_BYTES", "ImageRecord", "TagRecord", "is_digest"]

RECORD_BYTES: Final = 4 << 20
_VERSION: Final = 1
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


def is_digest(text: object) -> bool:
    """Tell whether this is sha256: and 64 hex digits."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """One image that is held."""

    reference: str
    """As it was asked for last."""
    digest: str
    """What the reference resolved to: an index, else a manifest."""
    kind: ImageKind
    content: str
    """Digest of the file that runs."""
    size: int
    """Bytes of that file."""
    pulled: float
    """Unix time."""
    architecture: str = ""
    """The node's, which chose among those of an index."""
    family: str = ""
    verdict: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    functions: Mapping[str, str] = field(default_factory=dict)
    maps: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> bytes:
        """Print it; `parse` reads it back the same."""
        return json.dumps({"version": _VERSION, **asdict(self)}).encode()

    @classmethod
    def parse(cls, text: bytes) -> Self | None:
        """Read one; None where a later version wrote it so that it cannot be. Raises `ValueError` where it is torn."""
        raw = _document(text)
        if raw is None:
            return None
        if not is_digest(raw.get("digest")) or not is_digest(raw.get("content")):
            raise ValueError("no digests")
        return cls(
            reference=_text(raw, "reference"),
            digest=raw["digest"],
            kind=ImageKind(_text(raw, "kind")),
            content=raw["content"],
            size=int(_number(raw, "size")),
            pulled=_number(raw, "pulled"),
            architecture=_text(raw, "architecture"),
            family=_text(raw, "family"),
            verdict=_text(raw, "verdict"),
            annotations=_table(raw, "annotations"),
            functions=_table(raw, "functions"),
            maps=_table(raw, "maps"),
        )


@dataclass(frozen=True, slots=True)
class TagRecord:
    """What a reference with a tag resolved to when it was last asked."""

    reference: str
    digest: str

    def text(self) -> bytes:
        """Print it; `parse` reads it back the same."""
        return json.dumps({"version": _VERSION, **asdict(self)}).encode()

    @classmethod
    def parse(cls, text: bytes) -> Self | None:
        """Read one, as `ImageRecord.parse` does."""
        raw = _document(text)
        if raw is None:
            return None
        if not is_digest(raw.get("digest")):
            raise ValueError("no digest")
        return cls(_text(raw, "reference"), raw["digest"])


def _document(text: bytes) -> dict[str, Any] | None:
    try:
        raw = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(raw, dict) or not isinstance(raw.get("version"), int):
        raise ValueError("no record")  # noqa: TRY004 -- the file is wrong, not the caller
    return raw if raw["version"] <= _VERSION else None


def _text(raw: Mapping[str, Any], key: str) -> str:
    value = raw.get(key, "")
    if not isinstance(value, str):
        raise ValueError(key)  # noqa: TRY004 -- as above
    return value


def _number(raw: Mapping[str, Any], key: str) -> float:
    value = raw.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1 << 53:
        raise ValueError(key)
    return value


def _table(raw: Mapping[str, Any], key: str) -> dict[str, str]:
    value = raw.get(key, {})
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise ValueError(key)
    return value
