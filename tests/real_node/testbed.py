"""A whole cluster of one node with real pods, within a `Machine`; `nox -s node` names its parts.

etcd, API server, controllers and scheduler are in the machine's network and outlive a power cut of it, as those of
other machines would; containerd, kubelet and pods are on it. The image of this tree is there under the name that the
chart has by default.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from conductor.net.netns import inside
from tests.cluster.certificates import Authority, private_key
from tests.cluster.process import Server
from tests.image.install import NAME
from tests.real_node import commands, settings
from tests.real_node.machine import ADDRESS, SERVICE, Machine

__all__ = ["IMAGE", "NODE", "PARTS", "VARIABLES", "Cluster", "Document"]

VARIABLES = ("KUBEBUILDER_ASSETS", "CONDUCTOR_NODE_PARTS", "CONDUCTOR_IMAGE")
"""They name the folders of Kubernetes, of the other parts, and of our image."""
PARTS = VARIABLES[1]
NODE = "node-1"
IMAGE = "localhost/ebpfconductor"
TAGS = ("0.1.0", "next")
"""The chart's own version, and another name of the same for upgrades."""
Document = dict[str, Any]


class Cluster:
    """The servers, the machine, and what a test asks of them."""

    def __init__(self, *, machine: Machine) -> None:
        self.machine = machine
        self.folder = machine.folder / "cluster"
        self.binaries, self.parts, self.image = (Path(os.environ[name]) for name in VARIABLES)
        self.servers: dict[str, Server] = {}

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Cluster]:
        """Start everything and wait for the node to be ready (about 15 s); nothing is left when this ends."""
        with Machine.running() as machine, ExitStack() as stack:
            cluster = cls(machine=machine)
            stack.callback(cluster._end)
            cluster._write()
            cluster._start_control()
            cluster.start_node()
            cluster.load(cluster.image / "image.tar", *(f"{IMAGE}:{tag}" for tag in TAGS), named=NAME)
            yield cluster

    # --- servers --------------------------------------------------------------------------------------------------

    def start_node(self) -> None:
        """Start containerd and kubelet on the machine; returns when the node is ready."""
        began = time.time()
        self._launch("containerd", [str(self.parts / "containerd"), "--config", str(self.folder / "containerd.toml")])
        self.servers["containerd"].wait(lambda: self.machine.seen("/run/containerd/containerd.sock").exists())
        self.load(self.parts / "pause.tar")
        self._launch("kubelet", commands.kubelet(self.binaries, self.folder, self._kubeconfig("kubelet"), node=NODE))
        self.servers["kubelet"].wait(lambda: self._ready_since(began))

    def stop_node(self) -> None:
        """End kubelet and containerd; pods go on."""
        for name in ("kubelet", "containerd"):
            if name in self.servers:
                self.servers.pop(name).end()

    def reboot(self) -> None:
        """Cut the machine's power, and switch it on again."""
        self.machine.crash()
        self.stop_node()
        self.machine.boot()
        self.start_node()

    def load(self, archive: Path, *names: str, named: str = "") -> None:
        """Have the images of an archive on the machine; `named` under these names too."""
        self.ctr("images", "import", "--local", str(archive))
        for name in names:
            self.ctr("images", "tag", "--force", named, name)

    def ctr(self, *words: str) -> str:
        """Ask containerd."""
        return self.machine.run(str(self.parts / "ctr"), "--namespace", "k8s.io", *words)

    # --- what an administrator does ----------------------------------------------------------------------------------

    def kubectl(self, *words: str, stdin: str = "", check: bool = True, seconds: float = 120) -> str:
        """Run kubectl as the administrator; answers what it printed, refusals included."""
        done = self._admin("kubectl", *words, stdin=stdin, seconds=seconds)
        assert not check or done.returncode == 0, f"kubectl {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def helm(self, *words: str, check: bool = True, seconds: float = 300) -> str:
        """Run Helm as the administrator; answers what it printed."""
        done = self._admin("helm", *words, seconds=seconds)
        assert not check or done.returncode == 0, f"helm {' '.join(words)}: {done.stdout}{done.stderr}\n{self.story()}"
        return done.stdout + done.stderr

    def get(self, *words: str) -> Document:
        """Get objects of the cluster."""
        done = self._admin("kubectl", "get", *words, "-o", "json")
        assert done.returncode == 0, done.stderr
        found: Document = json.loads(done.stdout or "{}")
        return found

    def items(self, *words: str) -> list[Document]:
        """Get a list of objects."""
        return list(self.get(*words)["items"])

    def apply(self, *documents: Document) -> None:
        """Apply objects."""
        self.kubectl("apply", "-f", "-", stdin="\n---\n".join(map(json.dumps, documents)))

    def page(self, path: str, *, port: int = 8080, address: str = ADDRESS) -> str:
        """A page of somebody in the machine's network; raises `OSError` with what was said where it is refused."""

        def fetch() -> str:
            try:
                with urllib.request.urlopen(f"http://{address}:{port}{path}", timeout=10) as answer:
                    return str(answer.read().decode())
            except urllib.error.HTTPError as refusal:
                with refusal:
                    raise OSError(f"{path}: {refusal.code} {refusal.read().decode()}") from None

        return inside(self.machine.network_path, fetch, timeout=15)

    def until(self, holds: Callable[[], Any], what: str, seconds: float = 60) -> Any:
        """Ask until the answer is true; errors count as not yet."""
        end, last = time.monotonic() + seconds, None
        while time.monotonic() < end:
            try:
                if found := holds():
                    return found
            except (OSError, AssertionError, KeyError, ValueError, IndexError) as exc:
                last = exc
            time.sleep(0.1)
        raise AssertionError(f"not {what} within {seconds:g} s: {last}\n{self.story()}")

    def story(self) -> str:
        """What a person would look at when something does not come about."""
        parts = [
            self.kubectl("get", "pods", "-A", "-o", "wide", check=False),
            self.kubectl("get", "events", "-A", "--sort-by=.lastTimestamp", check=False)[-4000:],
            self.kubectl("get", "kp,up,nst", "-o", "yaml", check=False)[-4000:],
        ]
        for pod in self.kubectl("get", "pods", "-n", "ebpf", "-o", "name", check=False).split():
            words = ("logs", "-n", "ebpf", pod, "--all-containers", "--prefix", "--tail=25")
            parts.append(self.kubectl(*words, check=False)[-6000:])
        return "\n".join(parts)

    # --- how it is made ----------------------------------------------------------------------------------------------

    def _admin(
        self, binary: str, *words: str, stdin: str = "", seconds: float = 120
    ) -> subprocess.CompletedProcess[str]:
        command = [*self.machine.network(), str(self.binaries / binary), *words]
        variables = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "KUBECONFIG": str(self._kubeconfig("admin"))}
        return subprocess.run(
            command, input=stdin, text=True, env=variables, capture_output=True, timeout=seconds, check=False
        )

    def _write(self) -> None:
        self.folder.mkdir()
        (self.folder / "cni").mkdir()
        (self.folder / "cni/10-pods.conflist").write_text(settings.network())
        (self.folder / "containerd.toml").write_text(settings.containerd(self.parts, self.folder))
        (self.folder / "kubelet.json").write_text(settings.kubelet(self.folder, cgroup=self.machine.cgroup))
        authority = Authority.made(self.folder)
        authority.issue("server", "kube-apiserver", server=True, addresses=(ADDRESS, SERVICE))
        authority.issue("admin", "admin", "system:masters")
        authority.issue("kubelet", f"system:node:{NODE}", "system:nodes")
        private_key(self.folder / "accounts.key")
        for name in ("admin", "kubelet"):
            self._kubeconfig(name).write_text(self._access(name))

    def _kubeconfig(self, name: str) -> Path:
        return self.folder / f"{name}.kubeconfig"

    def _access(self, name: str) -> str:
        keys = {"client-certificate": f"{self.folder / name}.crt", "client-key": f"{self.folder / name}.key"}
        cluster = {
            "server": f"https://{ADDRESS}:{commands.PORT}",
            "certificate-authority": str(self.folder / "ca.crt"),
        }
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "here",
                "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
                "clusters": [{"name": "here", "cluster": cluster}],
                "users": [{"name": "me", "user": keys}],
            }
        )

    def _start_control(self) -> None:
        admin = self._kubeconfig("admin")
        network = self.machine.network()
        self._launch("etcd", commands.etcd(self.binaries, self.folder), before=network)
        self._launch("kube-apiserver", commands.api_server(self.binaries, self.folder), before=network)
        ready = ("get", "--raw", "/readyz")
        self.servers["kube-apiserver"].wait(lambda: self._admin("kubectl", *ready).returncode == 0)
        self._launch("controllers", commands.controllers(self.binaries, self.folder, admin), before=network)
        self._launch("scheduler", commands.scheduler(self.binaries, admin), before=network)

    def _launch(self, name: str, command: list[str], *, before: list[str] | None = None) -> None:
        prefix = self.machine.inside() if before is None else before
        self.servers[name] = Server(name=name, command=[*prefix, *command], log=self.folder / f"{name}.log")
        self.servers[name].launch()

    def _ready_since(self, began: float) -> bool:
        """Whether the kubelet of now, not the one before, calls the node ready."""
        found = self._admin("kubectl", "get", "node", NODE, "-o", "json")
        if found.returncode != 0:
            return False
        node = json.loads(found.stdout)
        told = {one["type"]: one for one in node["status"].get("conditions", ())}
        taints = [one["key"] for one in node["spec"].get("taints", ())]
        ready = told.get("Ready", {})
        lease = self._admin("kubectl", "get", "lease", NODE, "-n", "kube-node-lease", "-o", "json")
        renewed = json.loads(lease.stdout)["spec"]["renewTime"] if lease.returncode == 0 else ""
        since = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(began))
        return ready.get("status") == "True" and renewed > since and "node.kubernetes.io/not-ready" not in taints

    def _end(self) -> None:
        self.stop_node()
        for server in self.servers.values():
            server.end()
