"""Types that manifests name their parts by, and who uses them."""

from __future__ import annotations

from typing import Final

__all__ = [
    "ARCHIVES",
    "CNCF_CONFIG",
    "COMPONENT_ARTIFACT",
    "CONTAINER_CONFIGS",
    "DOCKER_LIST",
    "DOCKER_MANIFEST",
    "OCI_CONFIG",
    "OCI_INDEX",
    "OCI_LAYER",
    "OCI_MANIFEST",
    "SOLO_CONFIG",
    "STRANGERS",
    "WASM_CONFIGS",
    "WASM_LAYER",
    "WASM_LAYERS",
]

OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"

OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
CONTAINER_CONFIGS: Final = frozenset({OCI_CONFIG, "application/vnd.docker.container.image.v1+json"})
OCI_LAYER: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
ARCHIVES: Final = frozenset(
    {
        OCI_LAYER,
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "application/vnd.docker.image.rootfs.diff.tar",
    }
)

WASM_LAYER: Final = "application/wasm"
CNCF_CONFIG: Final = "application/vnd.wasm.config.v0+json"
SOLO_CONFIG: Final = "application/vnd.module.wasm.config.v1+json"
"""Istio puts it into a layer, other tools where a config belongs."""
COMPONENT_ARTIFACT: Final = "application/vnd.bytecodealliance.component.v1+wasm"
WASM_LAYERS: Final = {
    WASM_LAYER: "A",
    "application/vnd.wasm.content.layer.v1+wasm": "B",
    "application/vnd.module.wasm.content.layer.v1+wasm": "C",
    "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm": "F",
    "application/vnd.bytecodealliance.wasm.module.layer.v0+wasm": "F",
}
"""Layers that are a wasm file as it is; the family that uses each."""
WASM_CONFIGS: Final = {
    CNCF_CONFIG: "A",
    "application/vnd.wasm.config.v1+json": "B",
    SOLO_CONFIG: "C",
    COMPONENT_ARTIFACT: "F",
    "application/vnd.bytecodealliance.module.v1+wasm": "F",
}
"""Configs, and types of artifacts, that say wasm where the layer does not."""

STRANGERS: Final = (
    (
        "application/vnd.fermyon.spin.",
        "a Spin application, whose components answer HTTP requests and run only in Spin",
    ),
    (
        "application/vnd.gadget.",
        "an Inspektor Gadget, whose operators and metadata only ig runs; its bytecode alone has no use here",
    ),
    ("application/vnd.cncf.helm.", "a Helm chart, which helm installs"),
    ("application/vnd.dev.cosign.", "a signature of cosign, not the image it signs"),
    ("application/vnd.dev.sigstore.", "a Sigstore bundle, not the image it speaks of"),
    ("application/vnd.cncf.notary.", "a signature of Notation, not the image it signs"),
    ("application/vnd.in-toto", "an attestation, not the image it speaks of"),
)
"""Beginnings of types that name something else, and what that is."""
