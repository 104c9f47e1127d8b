"""The tables of docs/from-bpfman.md as code: what a bpfman.io object is as one of ours."""

from __future__ import annotations

import copy
from typing import Any

__all__ = ["definitions", "moved"]

Document = dict[str, Any]
KINDS = {"ClusterBpfApplication": "Cluster", "BpfApplication": "Namespaced"}


def moved(theirs: Document) -> Document:
    """One of theirs as one of ours."""
    spec = copy.deepcopy(theirs["spec"])
    if not spec["nodeSelector"]:
        del spec["nodeSelector"]
    code = spec.pop("byteCode")
    if image := code.get("image"):
        names = {"imagePullPolicy": "pullPolicy", "url": "url"}
        ours = {names[name]: value for name, value in image.items() if name in names}
        if secret := image.get("imagePullSecret"):
            ours["pullSecret"] = secret["name"]
        code = {"image": ours}
    spec["bytecode"] = code
    namespace = theirs["metadata"].get("namespace")
    for program in spec["programs"]:
        for link in program[program["type"].lower()].get("links", ()):
            for selector in ("networkNamespaces", "containers"):
                if namespace and selector in link:
                    link[selector]["namespace"] = namespace
    return {
        "apiVersion": "ebpfconductor.io/v1alpha1",
        "kind": "KernelProgram",
        "metadata": {"name": theirs["metadata"]["name"]},
        "spec": spec,
    }


def definitions() -> list[Document]:
    """Their kinds, taking anything."""
    return [_definition(kind, scope) for kind, scope in KINDS.items()]


def _definition(kind: str, scope: str) -> Document:
    plural = f"{kind.lower()}s"
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": anything}}
    names = {"plural": plural, "singular": kind.lower(), "kind": kind}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.bpfman.io"},
        "spec": {"group": "bpfman.io", "scope": scope, "names": names, "versions": [version]},
    }
