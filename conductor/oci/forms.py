"""In which of its many forms an image holds a wasm module or bytecode: told by layer, then config, then artifact type.

Pure: manifest and config in, a form or a refusal out. The letters are families: A the CNCF's wasm artifact, B that of
wasm-to-oci, C Solo's and Istio's, D a container image with plugin.wasm, E a container image for wasi/wasm, F runwasi's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from conductor.errors import ImageUnusable
from conductor.model.image import Descriptor, ImageKind, annotations_of
from conductor.model.manifest_fields import shown
from conductor.oci.contents import BUILD_CORE
from conductor.oci.labels import ConfigFacts, read_config, read_json
from conductor.oci.media_types import (
    ARCHIVES,
    CNCF_CONFIG,
    COMPONENT_ARTIFACT,
    CONTAINER_CONFIGS,
    SOLO_CONFIG,
    STRANGERS,
    WASM_CONFIGS,
    WASM_LAYERS,
)

__all__ = ["Family", "Form", "Parts", "classify", "kind_of"]

_LAYERS_MOST: Final = 128
_PLUGIN: Final = "plugin.wasm"
_ACCEPTED: Final = {
    ImageKind.WASM: "accepted is a core wasm module as one application/wasm layer (conductor image build wasm makes "
    "that), as a wasm layer of wasm-to-oci, Istio or runwasi, or as a .wasm file in a container image",
    ImageKind.BYTECODE: "accepted is bpfman's form: one tar+gzip layer with one .o file in it "
    "(conductor image build bytecode makes that)",
}
_OTHER_DOOR: Final = {
    ImageKind.WASM: "it holds a wasm module, a user half: name it as the module of a UserProgram",
    ImageKind.BYTECODE: "it holds eBPF bytecode, a kernel half: name it as the bytecode of a KernelProgram",
}


class Family(StrEnum):
    """How an image holds its file."""

    CNCF = "A"
    WASM_TO_OCI = "B"
    SOLO = "C"
    COMPAT = "D"
    CONTAINER = "E"
    RUNWASI = "F"
    BYTECODE = "bytecode"


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """Where in an image the file is that would run."""

    family: Family
    kind: ImageKind
    layers: tuple[Descriptor, ...]
    """To be searched in this order; one, except where a container image has several."""
    archived: bool
    """The layer is a tar, compressed or not; else it is the file."""
    names: tuple[str, ...] = ()
    """Base names in the archive that are taken before any other, best first."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    functions: Mapping[str, str] = field(default_factory=dict)
    """Of bytecode: program -> type, as the labels have it; empty where there are none."""
    maps: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A manifest's parts, checked."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    artifact_type: str
    annotations: Mapping[str, str]

    @classmethod
    def parse(cls, manifest: Mapping[str, Any]) -> Parts:
        """Check an image's manifest, which is no index. Raises `ImageUnusable`."""
        if manifest.get("schemaVersion") == 1:
            raise ImageUnusable("its manifest is of Docker's schema 1; push it again with a tool of this decade")
        layers = manifest.get("layers")
        if not isinstance(layers, list) or not layers or len(layers) > _LAYERS_MOST:
            raise ImageUnusable(f"its manifest has no list of 1 to {_LAYERS_MOST} layers; push an image, not an index")
        return cls(
            config=Descriptor.parse(manifest.get("config"), "its manifest's config"),
            layers=tuple(Descriptor.parse(one, f"its manifest's layer {i}") for i, one in enumerate(layers)),
            artifact_type=str(manifest.get("artifactType") or "")[:256],
            annotations=annotations_of(manifest, "its manifest"),
        )

    @property
    def needs_config(self) -> bool:
        """Whether the config says something that matters here."""
        return self.config.media_type in CONTAINER_CONFIGS or self.config.media_type == CNCF_CONFIG

    @property
    def types(self) -> tuple[str, ...]:
        """Every type it names, what it calls itself first."""
        return (self.artifact_type, self.config.media_type, *(layer.media_type for layer in self.layers))


def classify(manifest: Mapping[str, Any], config: bytes, *, wanted: ImageKind) -> Form:
    """Tell where an image holds the file that is wanted. Raises `ImageUnusable`: what was found, what is accepted."""
    parts = Parts.parse(manifest)
    _refuse_strangers(parts, wanted)
    family = _wasm_family(parts)
    if family is not None:
        return _raw(parts, config, family, wanted)
    if parts.layers[-1].media_type in ARCHIVES:
        return _archived(parts, _facts(parts, config), wanted)
    raise _refusal(parts, wanted, "")


def kind_of(manifest: Mapping[str, Any], config: bytes) -> ImageKind | None:
    """Guess what an image holds, for those who only look at it; None where only its archive can tell."""
    parts = Parts.parse(manifest)
    _refuse_strangers(parts, ImageKind.WASM)
    if _wasm_family(parts) is not None:
        return ImageKind.WASM
    if parts.layers[-1].media_type not in ARCHIVES:
        raise _refusal(parts, ImageKind.WASM, "")
    facts = _facts(parts, config)
    if facts.is_bytecode:
        return ImageKind.BYTECODE
    return ImageKind.WASM if _says_wasm(parts, facts) else None


def _wasm_family(parts: Parts) -> Family | None:
    """By layers; then, with a single layer of no known type, by config; then by artifact type."""
    for layer in parts.layers:
        if layer.media_type in WASM_LAYERS:
            return Family(WASM_LAYERS[layer.media_type])
    if parts.layers[-1].media_type in ARCHIVES or len(parts.layers) > 1:
        return None
    named = WASM_CONFIGS.get(parts.config.media_type) or WASM_CONFIGS.get(parts.artifact_type)
    return Family(named) if named else None


def _raw(parts: Parts, config: bytes, family: Family, wanted: ImageKind) -> Form:
    if wanted is not ImageKind.WASM:
        raise _refusal(parts, wanted, _OTHER_DOOR[ImageKind.WASM])
    files = [layer for layer in parts.layers if layer.media_type != SOLO_CONFIG or family is not Family.SOLO]
    if len(files) != 1:
        raise _refusal(parts, wanted, f"it has {len(files)} layers where exactly one, the module, is expected")
    if _is_component(parts, config):
        raise _refusal(parts, wanted, f"it holds a component, which is not run here; {BUILD_CORE}")
    return Form(family=family, kind=wanted, layers=(files[0],), archived=False, annotations=_annotations(parts, files))


def _archived(parts: Parts, facts: ConfigFacts, wanted: ImageKind) -> Form:
    found = ImageKind.BYTECODE if facts.is_bytecode else ImageKind.WASM if _says_wasm(parts, facts) else wanted
    if found is not wanted:
        raise _refusal(parts, wanted, _OTHER_DOOR[found])
    if wanted is ImageKind.BYTECODE:
        return _bytecode(parts, facts)
    names = tuple(name for name in facts.files if name.endswith(".wasm"))
    layers = [layer for layer in reversed(parts.layers) if layer.media_type in ARCHIVES]
    if _is_wasm_platform(facts):
        family, names = Family.CONTAINER, (*names, _PLUGIN)
    else:  # what lies below the last layer is documents, or a base image
        family, names, layers = Family.COMPAT, (_PLUGIN, *names), layers[:1]
    return Form(
        family=family,
        kind=wanted,
        layers=tuple(layers),
        archived=True,
        names=names,
        annotations=_annotations(parts, layers),
    )


def _bytecode(parts: Parts, facts: ConfigFacts) -> Form:
    if len(parts.layers) != 1:
        raise _refusal(parts, ImageKind.BYTECODE, f"it has {len(parts.layers)} layers where one is expected")
    return Form(
        family=Family.BYTECODE,
        kind=ImageKind.BYTECODE,
        layers=parts.layers,
        archived=True,
        names=tuple(name for name in facts.files if name.endswith(".o")),
        annotations=_annotations(parts, parts.layers),
        functions=facts.functions,
        maps=facts.maps,
    )


def _facts(parts: Parts, config: bytes) -> ConfigFacts:
    return read_config(config) if parts.config.media_type in CONTAINER_CONFIGS else ConfigFacts()


def _says_wasm(parts: Parts, facts: ConfigFacts) -> bool:
    return (
        _is_wasm_platform(facts)
        or "module.wasm.image/variant" in parts.annotations
        or parts.config.media_type in WASM_CONFIGS
        or any(name.endswith(".wasm") for name in facts.files)
    )


def _is_wasm_platform(facts: ConfigFacts) -> bool:
    return facts.architecture.startswith("wasm") or facts.os.startswith("wasi")


def _is_component(parts: Parts, config: bytes) -> bool:
    """Whether it says so itself; what it does not say the file's first bytes tell."""
    if parts.artifact_type == COMPONENT_ARTIFACT:
        return True
    if parts.config.media_type != CNCF_CONFIG:
        return False
    told = read_json(config, "the config of the wasm artifact")
    return bool(told.get("component")) or told.get("os") == "wasip2"


def _annotations(parts: Parts, layers: Sequence[Descriptor]) -> dict[str, str]:
    """Those of the layer, and above them those of the manifest."""
    return {**(layers[0].annotations if layers else {}), **parts.annotations}


def _refuse_strangers(parts: Parts, wanted: ImageKind) -> None:
    for name in parts.types:
        for beginning, what in STRANGERS:
            if name.startswith(beginning):
                raise _refusal(parts, wanted, f"it is {what}")
    for layer in parts.layers:
        if layer.media_type.endswith(("+zstd", ".zstd")):
            raise _refusal(parts, wanted, "a layer is compressed with zstd; push it with gzip instead")


def _refusal(parts: Parts, wanted: ImageKind, why: str) -> ImageUnusable:
    layers = ", ".join(shown(layer.media_type) for layer in parts.layers[:4])
    more = f" and {len(parts.layers) - 4} more" if len(parts.layers) > 4 else ""
    artifact = f", artifact type {shown(parts.artifact_type)}" if parts.artifact_type else ""
    found = f"found layers {layers}{more}, config {shown(parts.config.media_type)}{artifact}"
    return ImageUnusable(f"{why or 'its layers are of no known type'} ({found}); {_ACCEPTED[wanted]}")
