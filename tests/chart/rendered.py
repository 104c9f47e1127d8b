"""The chart as Helm renders it: objects, and sentences where it refuses values."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.testbed import ASSETS

__all__ = ["CHART", "NAMESPACE", "RELEASE", "Document", "container", "helm", "kinds", "named", "refusal", "rendered"]

CHART = Path(__file__).parents[2] / "charts" / "ebpfconductor"
RELEASE, NAMESPACE = "ours", "ebpf"
Document = dict[str, Any]


def helm(*words: str, kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the Helm of the session; it keeps nothing."""
    with tempfile.TemporaryDirectory(prefix="helm-") as home:
        variables = {"PATH": os.environ["PATH"], "HOME": home, "KUBECONFIG": str(kubeconfig or "")}
        command = [str(Path(os.environ[ASSETS]) / "helm"), *words]
        return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=240, check=False)


def rendered(values: Document | None = None, *, namespace: str = NAMESPACE) -> list[Document]:
    """Every object that an install would make, hooks and the test's pod included."""
    done = _template(values or {}, namespace)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def refusal(values: Document) -> str:
    """What is said of values that the chart does not take."""
    done = _template(values, NAMESPACE)
    assert done.returncode != 0, done.stdout
    return done.stderr


def _template(values: Document, namespace: str) -> subprocess.CompletedProcess[str]:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(values, file)
        file.flush()
        return helm("template", RELEASE, str(CHART), "--namespace", namespace, "--values", file.name)


def kinds(documents: list[Document]) -> list[str]:
    """Kinds of objects, sorted."""
    return sorted(document["kind"] for document in documents)


def named(documents: list[Document], kind: str, ending: str = "") -> Document:
    """The one object of a kind whose name has this ending."""
    (found,) = [one for one in documents if one["kind"] == kind and one["metadata"]["name"].endswith(ending)]
    return found


def container(documents: list[Document], name: str) -> Document:
    """A container of the DaemonSet, preparing ones included."""
    pod = named(documents, "DaemonSet")["spec"]["template"]["spec"]
    (found,) = [one for one in (*pod["initContainers"], *pod["containers"]) if one["name"] == name]
    return dict(found)
