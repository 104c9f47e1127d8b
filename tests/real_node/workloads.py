"""What others run on the node: deployments that talk to each other, from our image, for it has a Python."""

from __future__ import annotations

from tests.real_node.testbed import IMAGE, Cluster, Document

__all__ = ["ECHO", "deployment", "pod_of", "talk"]

SERVE = """
import socket, threading
def answer(connection):
    with connection:
        while connection.recv(65536): pass
with socket.create_server(("", 5432)) as server:
    while True: threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()
"""
SEND = """
import socket, sys
with socket.create_connection((sys.argv[1], 5432)) as out: out.sendall(bytes(int(sys.argv[2])))
"""
ECHO = ["python3", "-c", SERVE]


def deployment(name: str, command: list[str] | None = None, *, replicas: int = 1) -> Document:
    """A Deployment in the namespace `default`, which by default takes what it is sent on port 5432."""
    container = {
        "name": "app",
        "image": f"{IMAGE}:0.1.0",
        "command": command or ECHO,
        "resources": {"limits": {"memory": "64Mi"}},
    }
    pod = {"containers": [container], "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": False}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
        },
    }


def pod_of(cluster: Cluster, name: str) -> Document:
    """The one running pod of a deployment; waits for it."""

    def found() -> Document | None:
        running = [
            one
            for one in cluster.items("pods", "-l", f"app={name}")
            if one["status"]["phase"] == "Running" and "deletionTimestamp" not in one["metadata"]
        ]
        return running[0] if len(running) == 1 else None

    pod: Document = cluster.until(found, f"running {name}")
    return pod


def talk(cluster: Cluster, client: str, server: str, size: int) -> None:
    """Send bytes by TCP from one deployment's pod to another's."""
    address = pod_of(cluster, server)["status"]["podIP"]
    name = pod_of(cluster, client)["metadata"]["name"]
    cluster.kubectl("exec", name, "--", "python3", "-c", SEND, address, str(size))
