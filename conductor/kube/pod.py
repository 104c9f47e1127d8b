"""Whether this process is in a pod of a cluster: asked by those who are in none, so it imports nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["POD", "is_in_pod"]

POD = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds token, certificate authority and namespace."""


def is_in_pod(folder: Path = POD, *, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the kubelet gave this process a cluster."""
    return bool(environ.get("KUBERNETES_SERVICE_HOST")) and (folder / "token").exists()
