"""Who may import whom (the table is the architecture; change it only with the charter of the package it names)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "conductor"
WORDS = {"errors", "model"}
DECISIONS = WORDS | {"plan", "ports", "config", "builtin"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": WORDS,
    "model": WORDS,
    "plan": WORDS | {"plan", "ports", "config"},
    "ports": WORDS | {"ports"},
    "config": WORDS | {"config"},
    "locks": WORDS,
    "children": set(),
    "frugal": set(),
    "stopping": set(),
    "builtin": WORDS | {"ports", "builtin"},
    "bpf": WORDS | {"ports", "bpf"},
    "net": WORDS | {"ports", "net"},
    "wasm": WORDS | {"ports", "children", "wasm"},
    "oci": WORDS | {"ports", "children", "oci"},
    "kube": WORDS | {"ports", "kube"},
    "bpfman": WORDS | {"ports", "proto", "bpfman"},
    "loader": WORDS | {"plan", "ports", "proto", "bpf", "net", "children", "loader"},
    "loader/pull_child.py": WORDS | {"oci", "privilege"},
    "exporter": DECISIONS | {"exporter"},
    "managers": DECISIONS | {"exporter", "managers"},
    "controller": DECISIONS | {"managers", "controller"},
    "node": DECISIONS | {"managers", "node"},
    "api": DECISIONS | {"proto", "exporter", "managers", "api"},
    "client": WORDS | {"proto", "client", "api.wire", "api.codec", "api.status"},
    "proto": {"proto"},
}
EVERYTHING = {
    "agent",
    "agent_cluster",
    "agent_leader",
    "agent_parts",
    "agent_snapshots",
    "keeper",
    "cli",
    "privilege",
    "__main__",
    "__init__",
}
THIRD_PARTY_HOME: dict[str, set[str]] = {
    "wasmtime": {"wasm"},
    "pyroute2": {"net"},
    "kubernetes_asyncio": {"kube"},
    "betterproto": {"proto", "api", "bpfman", "loader", "client"},
    "grpclib": {"bpfman", "loader", "api", "client", "proto"},
    "numpy": {"ports", "bpf", "builtin", "exporter", "wasm"},
    "click": set(),
    "rich": set(),
    "aiohttp": {
        "oci",
        "api",
        "kube",
        "loader/pull_child.py",
    },  # kubernetes-asyncio speaks through it: its errors meet us in kube
    "aiofiles": {"oci"},
    "cryptography": {"oci"},
    "sigstore": {"oci"},
    "sigstore_models": {"oci"},
}


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module if node.module.count(".") else f"{node.module}.{a.name}" for a in node.names}
    return found


def layer_of(path: Path) -> str:
    """The row of a file: its own, where it has one, else its package's."""
    own = str(path.relative_to(ROOT))
    return own if own in MAY_IMPORT else path.relative_to(ROOT).parts[0].removesuffix(".py")


FILES = sorted(p for p in ROOT.rglob("*.py") if layer_of(p) != "proto")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_stay_in_their_layer(path: Path) -> None:
    layer = layer_of(path)
    for name in imports_of(path):
        top, _, rest = name.partition(".")
        if top == "conductor":
            target = rest.split(".")[0]
            allowed = MAY_IMPORT.get(layer)
            if target in {"__version__", ""}:
                continue
            assert layer in EVERYTHING or allowed is not None, f"{layer} has no row in MAY_IMPORT"
            if allowed is not None:
                assert target in allowed or rest in allowed, f"{layer} may not import conductor.{rest}"
            else:
                assert target != "cli" or layer in {"cli", "__main__"}, "nobody imports the command line"
        elif top in THIRD_PARTY_HOME:
            assert layer in THIRD_PARTY_HOME[top] | EVERYTHING, f"{top} is not at home in {layer}"


def test_decisions_use_no_clock_and_no_logging() -> None:
    for path in (ROOT / "plan").rglob("*.py"):
        assert not imports_of(path) & {"time", "logging", "random", "asyncio", "os"}, path
