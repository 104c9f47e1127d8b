"""Where bytes come from: a file, an image, a built-in."""

from __future__ import annotations

from conductor.model.schema.rules import Begins, ExactlyOne
from conductor.model.schema.tree import Node, record, text, word

__all__ = ["BUILTIN_NAME", "BYTECODE", "SOURCE"]

DIGEST = "^sha256:[0-9a-f]{64}$"
BUILTIN_NAME = "^[a-z0-9]([-_.a-z0-9]*[a-z0-9])?$"


def _place(about: str, *, builtin: bool) -> Node:
    groups = (("image",), *((("builtin",),) if builtin else ()), ("path", "digest"))
    names = ["image", "builtin", "path"] if builtin else ["image", "path"]
    fields = {"image": _IMAGE, "path": _PATH, "digest": _DIGEST}
    if builtin:
        fields["builtin"] = _BUILTIN_OBJECT
    return record(about, fields, rules=(ExactlyOne(groups=groups, message=f"needs exactly one of {', '.join(names)}"),))


_PATH = text(
    "Absolute path of a file on the node. From a cluster it is refused unless the node's agent allows it.",
    most=4096,
    rules=(Begins(prefix="/", message="must be absolute: it begins with /"),),
)
_DIGEST = text(
    "Digest that the file must have. Without a path it names what was uploaded to the agent.", most=71, pattern=DIGEST
)
_BUILTIN_OBJECT = text("Name of a built-in, whose compiled kernel half is used.", most=63, pattern=BUILTIN_NAME)
_IMAGE = record(
    "An OCI image.",
    {
        "url": text("Reference of the image: registry/repository:tag or @sha256:….", most=525),
        "pullPolicy": word("When the registry is asked.", ("Always", "IfNotPresent", "Never"), default="IfNotPresent"),
        "pullSecret": text(
            "Name of a Secret with registry credentials, in the namespace of the agents; only those that the chart lists.",
            most=253,
            pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        ),
        "digest": text("Digest that the reference must stand for.", most=71, pattern=DIGEST),
    },
    required=("url",),
)

BYTECODE: Node = _place("Where the compiled object (a BPF ELF file) comes from.", builtin=True)
SOURCE: Node = record(
    "What runs: a built-in of the agent or a WebAssembly module.",
    {
        "builtin": text(
            "Name of a built-in. It brings its own kernel half where it has one.", most=63, pattern=BUILTIN_NAME
        ),
        "wasm": _place("Where the WebAssembly core module comes from.", builtin=False),
    },
    rules=(ExactlyOne(groups=(("builtin",), ("wasm",)), message="needs exactly one of builtin, wasm"),),
)
