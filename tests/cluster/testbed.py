"""A real etcd and API server on loopback, with RBAC, service account tokens and an audit log.

The fixture `testbed` gives one to a whole test session. Binaries come from the folder that KUBEBUILDER_ASSETS names;
`nox -s cluster` builds and names it. There are no other parts: nothing schedules, no pod ever runs, and service
accounts exist where they were made.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import ssl
import subprocess
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cluster.certificates import Authority, private_key
from tests.cluster.commands import AUDIT, api_server, etcd
from tests.cluster.process import Server, free_ports

__all__ = ["ASSETS", "Document", "Testbed"]

ASSETS = "KUBEBUILDER_ASSETS"
Document = dict[str, Any]


class Testbed:
    """The servers, and what a test needs to make clients of them."""

    __test__ = False

    def __init__(self, *, folder: Path, binaries: Path, audit: str = AUDIT) -> None:
        self.folder, self.binaries = folder, binaries
        self.audit_log = folder / "audit.log"
        self._etcd_port, peer, self.port = free_ports(3)
        self.server = f"https://127.0.0.1:{self.port}"
        self._authority = Authority.made(folder)
        self._authority.issue("server", "kube-apiserver", server=True)
        self.admin_certificate = self._authority.issue("admin", "admin", "system:masters")
        private_key(folder / "accounts.key")
        (folder / "audit.yaml").write_text(audit)
        self.etcd = Server(
            name="etcd", command=etcd(binaries, folder, port=self._etcd_port, peer_port=peer), log=folder / "etcd.log"
        )
        self.api = Server(
            name="kube-apiserver",
            command=api_server(binaries, folder, port=self.port, etcd_port=self._etcd_port),
            log=folder / "api.log",
        )
        self._trust = ssl.create_default_context(cafile=str(self.authority))
        self._trust.load_cert_chain(*map(str, self.admin_certificate))

    @classmethod
    @contextmanager
    def running(cls, folder: Path, *, audit: str = AUDIT) -> Iterator[Testbed]:
        """Start both servers (3 to 5 s); nothing is left when this ends. `audit` is the policy of the audit log."""
        bed = cls(folder=folder, binaries=Path(os.environ[ASSETS]), audit=audit)
        try:
            bed.etcd.launch()
            bed.etcd.wait(bed._etcd_answers)
            bed.start()
            yield bed
        finally:
            bed.api.end()
            bed.etcd.end()

    # --- the servers' life ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the API server and wait until it is ready, its own roles included."""
        self.api.launch()
        self.wait()

    def wait(self) -> None:
        """Wait until the API server is ready."""
        self.api.wait(lambda: self._answers("/readyz"))

    def kill(self) -> None:
        """End the API server at once: its connections break."""
        self.api.end(signal.SIGKILL)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Have no API server for a while."""
        self.kill()
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Have an API server that accepts connections and answers nothing."""
        self.api.send(signal.SIGSTOP)
        try:
            yield
        finally:
            self.api.send(signal.SIGCONT)

    def compact(self) -> int:
        """Make etcd forget all history up to now; answers the revision that is the oldest from here on."""
        revision = self._etcd("/v3/kv/range", {"key": "AA=="})["header"]["revision"]
        self._etcd("/v3/kv/compaction", {"revision": revision, "physical": True})
        return int(revision)

    @property
    def etcd_size(self) -> int:
        """Bytes in use in etcd's database."""
        return int(self._etcd("/v3/maintenance/status", {})["dbSizeInUse"])

    # --- clients --------------------------------------------------------------------------------------------------

    @property
    def authority(self) -> Path:
        """The certificate that clients trust."""
        return self.folder / "ca.crt"

    @property
    def admin(self) -> Path:
        """A kubeconfig that may do everything."""
        certificate, key = map(str, self.admin_certificate)
        return self.kubeconfig("admin", {"client-certificate": certificate, "client-key": key})

    def agent(self, node: str, *, account: str = "agent", namespace: str = "default", server: str = "") -> Path:
        """A kubeconfig as the agent of `node` has it: its account's token, bound to that Node.

        Makes account and Node where they are missing, and gives no rights.
        """
        token = self.token(node, account=account, namespace=namespace)
        name = f"{node}-{namespace}-{account}"
        path = self.folder / f"{name}.token"
        path.touch(mode=0o600)
        path.write_text(token)
        return self.kubeconfig(name, {"tokenFile": str(path)}, namespace=namespace, server=server)

    def token(self, node: str, *, account: str = "agent", namespace: str = "default", seconds: int = 3600) -> str:
        """A token of a service account, bound to a Node as the kubelet asks for it."""
        self.have("/api/v1/namespaces", {"metadata": {"name": namespace}})
        self.have(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": account}})
        uid = self.have("/api/v1/nodes", {"metadata": {"name": node}})["metadata"]["uid"]
        bound = {"kind": "Node", "apiVersion": "v1", "name": node, "uid": uid}
        request = {"spec": {"expirationSeconds": seconds, "boundObjectRef": bound, "audiences": None}}
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        return str(self.call("POST", path, request)["status"]["token"])

    def kubeconfig(self, name: str, user: Document, *, namespace: str = "default", server: str = "") -> Path:
        """Write a kubeconfig; `server` is another address of the API server, such as a proxy's."""
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me", "namespace": namespace}}],
            "clusters": [
                {
                    "name": "here",
                    "cluster": {"server": server or self.server, "certificate-authority": str(self.authority)},
                }
            ],
            "users": [{"name": "me", "user": user}],
        }
        path = self.folder / f"{name}.kubeconfig"
        part = self.folder / f"{name}.{uuid.uuid4().hex}"  # another thread's client may be reading the one before
        part.touch(mode=0o600)
        part.write_text(json.dumps(content))
        return part.replace(path)

    def grant(self, name: str, *rules: Document, account: str = "agent", namespace: str = "default") -> None:
        """Give a service account a cluster role of these rules."""
        roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
        self.have(roles, {"metadata": {"name": name}, "rules": list(rules)})
        subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
        binding = {"metadata": {"name": name}, "subjects": [subject], "roleRef": reference}
        self.have("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)

    # --- what an administrator does ---------------------------------------------------------------------------------

    def kubectl(self, *words: str, stdin: str = "", check: bool = True) -> str:
        """Run kubectl as the administrator; answers what it printed, refusals included."""
        command = [str(self.binaries / "kubectl"), "--kubeconfig", str(self.admin), *words]
        # The cache of discovery lies in the home otherwise.
        variables = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}
        done = subprocess.run(
            command, input=stdin, text=True, env=variables, capture_output=True, timeout=60, check=False
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def typed(self, line: str) -> str:
        """Run a line as documents have it: of kubectl, as the administrator."""
        command, *words = shlex.split(line)
        assert command == "kubectl", line
        return self.kubectl(*words)

    def have(self, path: str, document: Document) -> Document:
        """Create an object below this path unless it is there; answers it."""
        try:
            return self.call("POST", path, document)
        except urllib.error.HTTPError as exc:
            if exc.code != 409:
                raise
            exc.close()
            return self.call("GET", f"{path}/{document['metadata']['name']}")

    def call(self, method: str, path: str, body: Document | None = None) -> Document:
        """Ask the API server as the administrator. Raises `HTTPError`."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.server + path, data=data, method=method, headers=headers)
        with urllib.request.urlopen(request, context=self._trust, timeout=30) as answer:
            found: Document = json.load(answer)
            return found

    def audited(self) -> list[Document]:
        """Every change that was asked for so far, in the order of the log (which is not that of commits)."""
        return [json.loads(line) for line in self.audit_log.read_text().splitlines()]

    def _etcd_answers(self) -> bool:
        try:
            return bool(self._etcd("/v3/maintenance/status", {})["header"])
        except OSError:
            return False

    def _etcd(self, path: str, body: Document) -> Document:
        request = urllib.request.Request(f"http://127.0.0.1:{self._etcd_port}{path}", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            found: Document = json.load(answer)
            return found

    def _answers(self, path: str) -> bool:
        try:
            with urllib.request.urlopen(self.server + path, context=self._trust, timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
