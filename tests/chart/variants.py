"""Values that people set: each is rendered, parsed and shown to a real API server."""

from __future__ import annotations

from typing import Any

__all__ = ["VARIANTS"]

VARIANTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "bpfman": {
        "road": "bpfman",
        "bpfman": {"image": {"repository": "registry.example/bpfman", "tag": "v0.6.0"}, "config": "[signing]\n"},
    },
    "host-bpfman": {"road": "host-bpfman", "agent": {"supplementalGroups": [999]}},
    "everything": {
        "image": {"repository": "registry.example/conductor", "digest": "sha256:" + "0" * 64, "pullPolicy": "Always"},
        "imagePullSecrets": ["own"],
        "agent": {
            "user": 1234,
            "logLevel": "debug",
            "logFormat": "text",
            "leaseDuration": "30s",
            "allowClusterPaths": True,
            "extraArgs": ["--change-group=1234"],
        },
        "loader": {"stats": False},
        "paths": {"run": "/run/other", "state": "/srv/state", "cache": "/srv/cache", "kubelet": "/srv/kubelet"},
        "seccomp": "Unconfined",
        "seLinuxOptions": {"type": "spc_t"},
        "hostNetwork": False,
        "http": {"port": 9090},
        "apiServer": {"host": "10.0.0.1", "port": 6443},
        "pullSecrets": ["team-a", "team-b"],
        "registries": "[mirrors]\n",
        "imagePolicy": "# none\n",
        "serviceAccount": {"name": "somebody", "annotations": {"a": "b"}},
        "updateStrategy": {"maxUnavailable": 1},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "",
        "podAnnotations": {"c": "d"},
        "podLabels": {"e": "f"},
        "monitoring": {"podMonitor": {"enabled": True, "labels": {"g": "h"}}, "serviceMonitor": {"enabled": True}},
        "dashboards": {
            "enabled": True,
            "labels": {"grafana_dashboard": "yes"},
            "annotations": {"grafana_folder": "eBPF"},
        },
        "networkPolicy": {"enabled": True, "from": [{"namespaceSelector": {}}]},
    },
}
