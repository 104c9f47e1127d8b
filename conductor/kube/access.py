"""How to reach a cluster and who we are there: from a kubeconfig, or from what every pod is given."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from conductor.errors import InvalidConfig
from conductor.kube.pod import POD

__all__ = ["Access", "Pem"]


@dataclass(frozen=True, slots=True)
class Pem:
    """Certificate or key: a file, or the bytes themselves."""

    path: Path | None = None
    content: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Address and credentials of one API server."""

    server: str
    authority: Pem | None = None
    """Who signs the server's certificate; None: whom this machine trusts."""
    certificate: Pem | None = None
    key: Pem | None = field(default=None, repr=False)
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    namespace: str = "default"
    server_name: str = ""
    verified: bool = True
    proxy: str = ""

    @classmethod
    def found(cls, kubeconfig: Path | None, *, environ: Mapping[str, str] = os.environ) -> Self:
        """Read the kubeconfig, or without one what this pod was given. Raises `InvalidConfig`."""
        return cls.of_pod(environ=environ) if kubeconfig is None else cls.of_kubeconfig(kubeconfig)

    @classmethod
    def of_pod(cls, folder: Path = POD, *, environ: Mapping[str, str] = os.environ) -> Self:
        """Read what the kubelet gives to a pod. Raises `InvalidConfig`."""
        host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "443")
        if not host or not (folder / "token").exists():
            problem = f"there is none, and no pod's token in {folder}: set it, or go on without a cluster"
            raise InvalidConfig((("kubeconfig", problem),))
        try:
            namespace = (folder / "namespace").read_text(encoding="utf-8").strip()
        except OSError:
            namespace = "default"
        return cls(
            server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
            authority=Pem(path=folder / "ca.crt"),
            token_file=folder / "token",
            namespace=namespace,
        )

    @classmethod
    def of_kubeconfig(cls, path: Path) -> Self:
        """Read the current context of a kubeconfig. Raises `InvalidConfig`, which says what cannot be used."""
        try:
            return cls(**_Kubeconfig(path).access())
        except (OSError, ValueError, yaml.YAMLError, LookupError, TypeError, AttributeError) as exc:
            if isinstance(exc, PermissionError):
                problem = f"uid {os.geteuid()} may not read {exc.filename}: give the agent's user a copy of its own"
                raise InvalidConfig((("kubeconfig", problem),)) from None
            # YAML's own errors quote lines, which may hold a key.
            problem = str(exc) if isinstance(exc, (OSError, _Unusable)) else f"is no kubeconfig ({type(exc).__name__})"
            raise InvalidConfig((("kubeconfig", f"{path}: {problem}"),)) from None


class _Unusable(ValueError):
    """A part that we cannot use, in a sentence."""


class _Kubeconfig:
    def __init__(self, path: Path) -> None:
        self._folder = path.absolute().parent
        self._content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))

    def access(self) -> dict[str, Any]:
        context = self._entry("context", self._content.get("current-context") or "")
        cluster, user = self._entry("cluster", context.get("cluster")), self._entry("user", context.get("user"))
        if refused := {"exec", "auth-provider"} & user.keys():
            raise _Unusable(
                f"its user has {refused.pop()}, and the agent starts no other programs: "
                "give it a token, a tokenFile or a client certificate"
            )
        if "username" in user:
            raise _Unusable("its user has a password, which no Kubernetes accepts any more: give it a token")
        if not str(cluster.get("server", "")).startswith(("https://", "http://")):
            raise _Unusable("its cluster's server is no https:// address")
        return {
            "server": str(cluster["server"]).rstrip("/"),
            "authority": self._pem(cluster, "certificate-authority"),
            "certificate": self._pem(user, "client-certificate"),
            "key": self._pem(user, "client-key"),
            "token": "" if "tokenFile" in user else str(user.get("token", "")),
            "token_file": self._folder / user["tokenFile"] if "tokenFile" in user else None,
            "namespace": str(context.get("namespace") or "default"),
            "server_name": str(cluster.get("tls-server-name") or ""),
            "verified": not cluster.get("insecure-skip-tls-verify", False),
            "proxy": str(cluster.get("proxy-url") or ""),
        }

    def _entry(self, kind: str, name: object) -> dict[str, Any]:
        for entry in self._content.get(f"{kind}s") or ():
            if entry["name"] == name:
                return dict(entry.get(kind) or {})
        raise _Unusable(f"it has no {kind} named {name!r}")

    def _pem(self, within: Mapping[str, Any], stem: str) -> Pem | None:
        if data := within.get(f"{stem}-data"):
            try:
                return Pem(content=base64.b64decode(data, validate=True))
            except binascii.Error:
                raise _Unusable(f"{stem}-data is no base64") from None
        return Pem(path=self._folder / within[stem]) if within.get(stem) else None
