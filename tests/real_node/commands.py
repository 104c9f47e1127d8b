"""How the servers of the cluster are started: where the session `cluster` has two on loopback, here is a whole one."""

from __future__ import annotations

from pathlib import Path

from tests.real_node.machine import ADDRESS

__all__ = ["PORT", "SUBNET", "api_server", "controllers", "etcd", "kubelet", "scheduler"]

PORT = 443
"""Of the API server, so that its service address needs no translation."""
SUBNET = "10.96.0.0/16"
_PEER, _ETCD = "http://127.0.0.1:2380", "http://127.0.0.1:2379"


def etcd(binaries: Path, folder: Path) -> list[str]:
    """Keep everything in `folder`, and not for long."""
    return [
        str(binaries / "etcd"),
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={_ETCD}",
        f"--advertise-client-urls={_ETCD}",
        f"--listen-peer-urls={_PEER}",
        f"--initial-advertise-peer-urls={_PEER}",
        f"--initial-cluster=default={_PEER}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def api_server(binaries: Path, folder: Path) -> list[str]:
    """Certificates and keys are in `folder`."""
    return [
        str(binaries / "kube-apiserver"),
        f"--etcd-servers={_ETCD}",
        "--bind-address=0.0.0.0",
        f"--advertise-address={ADDRESS}",
        f"--secure-port={PORT}",
        f"--tls-cert-file={folder / 'server.crt'}",
        f"--tls-private-key-file={folder / 'server.key'}",
        f"--client-ca-file={folder / 'ca.crt'}",
        f"--kubelet-client-certificate={folder / 'admin.crt'}",
        f"--kubelet-client-key={folder / 'admin.key'}",
        "--kubelet-preferred-address-types=InternalIP",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={folder / 'accounts.key'}",
        f"--service-account-signing-key-file={folder / 'accounts.key'}",
        f"--service-cluster-ip-range={SUBNET}",
        "--allow-privileged",
        "--shutdown-delay-duration=0s",
        "--profiling=false",
        "--v=0",
    ]


def controllers(binaries: Path, folder: Path, kubeconfig: Path) -> list[str]:
    """A node that is silent for 10 s is not ready."""
    return [
        str(binaries / "kube-controller-manager"),
        f"--kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        f"--root-ca-file={folder / 'ca.crt'}",
        f"--service-account-private-key-file={folder / 'accounts.key'}",
        "--use-service-account-credentials",
        "--leader-elect=false",
        "--node-monitor-period=2s",
        "--node-monitor-grace-period=12s",
        "--v=0",
    ]


def scheduler(binaries: Path, kubeconfig: Path) -> list[str]:
    """The one scheduler."""
    command = [str(binaries / "kube-scheduler"), f"--kubeconfig={kubeconfig}", "--bind-address=127.0.0.1"]
    return [*command, "--leader-elect=false", "--v=0"]


def kubelet(binaries: Path, folder: Path, kubeconfig: Path, *, node: str) -> list[str]:
    """Its root is the usual one, for the chart's defaults name it."""
    return [
        str(binaries / "kubelet"),
        f"--kubeconfig={kubeconfig}",
        f"--config={folder / 'kubelet.json'}",
        f"--hostname-override={node}",
        f"--node-ip={ADDRESS}",
        "--root-dir=/var/lib/kubelet",
        "--v=2",
    ]
