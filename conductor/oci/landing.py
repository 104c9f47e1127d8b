"""The last step of a pull: a layer that lies whole on disk becomes the file that runs. Blocking; done in a thread."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from conductor.errors import ImageTooLarge, ImageUnusable
from conductor.model.image import Descriptor, ImageKind, Platform
from conductor.model.manifest_fields import shown
from conductor.oci.contents import HEAD_BYTES, check_head
from conductor.oci.forms import Form
from conductor.oci.incoming import Incoming
from conductor.oci.records import ImageRecord
from conductor.oci.store import ImageStore
from conductor.oci.unpack import Member, UnpackLimits, choose_member, extract, refuse_large, survey

__all__ = ["Landing", "PullLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PullLimits:
    """Ceilings on what a pull may bring; sizes in bytes."""

    config: int = 1 << 20
    layer: int = 256 << 20
    """Of an archive, as it comes."""
    module: int = 32 << 20
    bytecode: int = 16 << 20
    """As bpfman has it."""
    unpacked: int = 256 << 20
    ratio: int = 200
    entries: int = 10_000
    downloads: int = 3
    """At once; others wait."""

    def of_file(self, kind: ImageKind) -> int:
        """The most that the file may have."""
        return self.module if kind is ImageKind.WASM else self.bytecode

    def of_archive(self, kind: ImageKind) -> UnpackLimits:
        """Ceilings for unpacking."""
        return UnpackLimits(unpacked=self.unpacked, file=self.of_file(kind), ratio=self.ratio, entries=self.entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """Whose file it is, and where it goes."""

    store: ImageStore
    reference: str
    digest: str
    node: Platform
    verdict: str
    limits: PullLimits
    byte_order: str
    seen: list[str] = field(default_factory=list)
    """Names in layers where nothing fitted."""

    def refuse_large(self, form: Form, layer: Descriptor) -> None:
        """Refuse before anything is fetched. Raises `ImageTooLarge`."""
        most = self.limits.layer if form.archived else self.limits.of_file(form.kind)
        if layer.size > most:
            raise ImageTooLarge(
                f"its layer {layer.digest} is {layer.size} bytes, past {most >> 20} MiB; make it smaller"
            )

    def take(self, file: Incoming, forms: Sequence[Form]) -> tuple[ImageRecord, Path] | None:
        """Keep what a layer holds for the first form that finds something; None where none does.

        Raises `ImageUnusable`, `ImageTooLarge`, `StoreFull`, `StateUnwritable`.
        """
        if not forms[0].archived:
            return self._keep(file, forms[0], "it")
        members = survey(file.file, self.limits.of_archive(forms[0].kind))
        for form in forms:
            member = choose_member(members, form.kind, form.names)
            if member is not None and (len(forms) == 1 or _is_of(form.kind, member)):
                return self._extracted(file, form, member)
        self.seen.extend(member.name for member in members[:20])
        return None

    def nothing(self, forms: Sequence[Form]) -> ImageUnusable:
        """Say that no layer had it."""
        names = ", ".join(shown(name) for name in self.seen[:10]) or "nothing"
        wanted = " or ".join(".wasm" if form.kind is ImageKind.WASM else ".o" for form in forms)
        return ImageUnusable(f"there is no {wanted} file in it (found {names}); put exactly one there")

    def _extracted(self, file: Incoming, form: Form, member: Member) -> tuple[ImageRecord, Path]:
        limits = self.limits.of_archive(form.kind)
        refuse_large(member, limits)
        with self.store.incoming(member.size) as content:
            extract(file.file, member, content.write, limits)
            return self._keep(content, form, "it" if member.index < 0 else shown(member.name))

    def _keep(self, file: Incoming, form: Form, name: str) -> tuple[ImageRecord, Path]:
        file.file.seek(0)
        check_head(file.file.read(HEAD_BYTES), form.kind, name, byte_order=self.byte_order)
        record = ImageRecord(
            reference=self.reference,
            digest=self.digest,
            kind=form.kind,
            content=file.digest,
            size=file.size,
            pulled=time.time(),
            architecture=self.node.architecture,
            family=form.family,
            verdict=self.verdict,
            annotations=form.annotations,
            functions=form.functions,
            maps=form.maps,
        )
        return record, self.store.keep(file, record)


def _is_of(kind: ImageKind, member: Member) -> bool:
    """Whether a file could be of a kind, where either would do; one out of an archive was chosen by its name."""
    return member.index >= 0 or (member.name == ".wasm") is (kind is ImageKind.WASM)
