"""How containerd, the network of pods and the kubelet of the machine are set up: the contents of their files."""

from __future__ import annotations

import json
import platform
from pathlib import Path

from tests.real_node.install import PAUSE
from tests.real_node.machine import ADDRESS

__all__ = ["containerd", "kubelet", "network"]

_ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


def containerd(parts: Path, folder: Path) -> str:
    """Images come by import alone; without the settings of `transfer` a missing erofs takes the CRI down."""
    return f"""
version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
address = "/run/containerd/containerd.sock"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "{PAUSE}"
[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["{parts}"]
conf_dir = "{folder / "cni"}"
[[plugins.'io.containerd.transfer.v1.local'.unpack_config]]
platform = "linux/{_ARCHITECTURE}"
snapshotter = "overlayfs"
differ = "walking"
"""


def network() -> str:
    """Pods have addresses of a bridge, and reach the machine and each other."""
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]},
    }
    return json.dumps({"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge]})


def kubelet(folder: Path, *, cgroup: str) -> str:
    """Cgroups below one of ours; nothing is evicted or collected for a full disk of the developer."""
    return json.dumps(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": ADDRESS,
            "authentication": {"x509": {"clientCAFile": str(folder / "ca.crt")}, "anonymous": {"enabled": False}},
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": cgroup,
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            "evictionHard": dict.fromkeys(("nodefs.available", "imagefs.available", "nodefs.inodesFree"), "0%"),
            "failCgroupV1": False,
            "failSwapOn": False,
            "imageGCHighThresholdPercent": 100,
            "nodeLeaseDurationSeconds": 8,
            "nodeStatusUpdateFrequency": "2s",
            "oomScoreAdj": 0,
            "resolvConf": "",
            "shutdownGracePeriod": "0s",
        }
    )
