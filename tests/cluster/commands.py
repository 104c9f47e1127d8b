"""How the servers are started."""

from __future__ import annotations

from pathlib import Path

__all__ = ["AUDIT", "api_server", "etcd"]

AUDIT = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  verbs: [get, list, watch]
- level: RequestResponse
"""


def etcd(binaries: Path, folder: Path, *, port: int, peer_port: int) -> list[str]:
    """Keep everything in `folder`, and not for long."""
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    return [
        str(binaries / "etcd"),
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--quota-backend-bytes=8589934592",  # thousands of nodes and all their history
        "--log-level=warn",
    ]


def api_server(binaries: Path, folder: Path, *, port: int, etcd_port: int) -> list[str]:
    """Certificates, keys and the audit policy are in `folder`."""
    return [
        str(binaries / "kube-apiserver"),
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        "--etcd-compaction-interval=0",  # history goes when a test says so
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        f"--secure-port={port}",
        f"--tls-cert-file={folder / 'server.crt'}",
        f"--tls-private-key-file={folder / 'server.key'}",
        f"--client-ca-file={folder / 'ca.crt'}",
        "--authorization-mode=Node,RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={folder / 'accounts.key'}",
        f"--service-account-signing-key-file={folder / 'accounts.key'}",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--allow-privileged",  # pods of the chart are shown to it, none runs
        "--disable-admission-plugins=ServiceAccount",  # its accounts would come from the controller manager
        f"--audit-policy-file={folder / 'audit.yaml'}",
        f"--audit-log-path={folder / 'audit.log'}",
        "--audit-log-mode=blocking",
        "--shutdown-delay-duration=0s",
        "--profiling=false",
        "--v=0",
    ]
