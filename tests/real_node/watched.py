"""Pods that a program attaches inside of, chosen by a label, and that program."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

from tests.real_node.testbed import IMAGE, Document

__all__ = ["LABEL", "LIBRARY", "WAIT", "library_in", "pod", "watching_program"]

LABEL = {"watched": "yes"}
LIBRARY = "/own/target.so"
# Files of an image are one file to all its containers, so each pod has one of its own before its container starts.
WRITE = "import base64, sys; open(sys.argv[1], 'wb').write(base64.b64decode(sys.argv[2]))"
WAIT = "import signal; signal.pause()"


def library_in(folder: Path) -> str:
    """Make a library with one function, `touched`; answers it as text."""
    source = folder / "target.c"
    source.write_text('void touched(void) { __asm__ volatile(""); }\n')
    made = source.with_suffix(".so")
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-nostdlib", "-s", "-o", str(made), str(source)], check=True)
    return base64.b64encode(made.read_bytes()).decode()


def watching_program(name: str, url: str) -> Document:
    """A program of the image `url` that wants the network and the library of every pod with the label."""
    chosen = {"namespace": "default", "pods": {"matchLabels": LABEL}}
    uprobe = {"target": LIBRARY, "function": "touched", "containers": {**chosen, "containerNames": ["app"]}}
    interfaces = {"interfaces": ["eth0"]}
    tcx = {"interfaceSelector": interfaces, "direction": "Ingress", "networkNamespaces": chosen}
    programs = [
        {"name": "uprobe_plain", "type": "UProbe", "uprobe": {"links": [uprobe]}},
        {"name": "tcx_plain", "type": "TCX", "tcx": {"links": [tcx]}},
    ]
    kind = {"apiVersion": "ebpfconductor.io/v1alpha1", "kind": "KernelProgram", "metadata": {"name": name}}
    return {**kind, "spec": {"bytecode": {"image": {"url": url}}, "programs": programs}}


def pod(name: str, library: str, labels: dict[str, str]) -> Document:
    """A pod that has the library as a file of its own."""

    def container(name: str, *command: str) -> Document:
        mounts = [{"name": "own", "mountPath": "/own"}]
        return {"name": name, "image": f"{IMAGE}:0.1.0", "command": ["python3", "-c", *command], "volumeMounts": mounts}

    spec = {
        "initContainers": [container("write", WRITE, LIBRARY, library)],
        "containers": [container("app", WAIT, LIBRARY)],
        "volumes": [{"name": "own", "emptyDir": {}}],
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "spec": spec,
    }
