"""What bad manifests are made of."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["DIGEST", "ETH0", "LIBC", "Bad", "document", "kernel", "link", "user"]

API_VERSION = "ebpfconductor.io/v1alpha1"
DIGEST = "sha256:" + "0" * 64
ETH0 = {"interfaces": ["eth0"]}
LIBC = {"target": "libc", "function": "malloc"}


class Bad(NamedTuple):
    """A document and why it is refused: field and sentence of each cause."""

    name: str
    document: dict[str, Any]
    causes: tuple[tuple[str, str], ...]


def document(kind: str, spec: Any, **metadata: Any) -> dict[str, Any]:
    """A whole manifest."""
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": "x"} | metadata, "spec": spec}


def kernel(**spec: Any) -> dict[str, Any]:
    """A KernelProgram; None leaves a field out."""
    body = {"bytecode": {"path": "/x.o"}, "programs": [{"name": "f", "type": "TracePoint"}]} | spec
    return document("KernelProgram", {key: value for key, value in body.items() if value is not None})


def user(**spec: Any) -> dict[str, Any]:
    """A UserProgram."""
    return document("UserProgram", {"source": {"builtin": "service_map"}} | spec)


def link(type_: str, *links: Any, **section: Any) -> dict[str, Any]:
    """A KernelProgram of one program with these links."""
    whole = section | ({"links": list(links)} if links else {})
    return kernel(programs=[{"name": "f", "type": type_, type_.lower(): whole}])
