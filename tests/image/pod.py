"""The chart's pod on this kernel without a kubelet: its containers from our image, run by runc as a kubelet would ask.

Taken from what Helm renders: commands, users, capabilities, seccomp profile, read-only roots, volumes with their
propagation, the host's PID and network namespaces. Left out: resources, probes, SELinux.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chart.rendered import Document, named

__all__ = ["Pod", "running"]

_DEFAULTS = {"CAP_" + name for name in ("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETUID", "SETGID", "KILL")}
_OWN: list[Document] = [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
    {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "nodev", "mode=1777"]},
]
_PROPAGATION = {"Bidirectional": "rshared", "HostToContainer": "rslave", "": "rprivate"}


@dataclass
class Pod:
    """Containers of one pod; `root` holds what of the node they see."""

    root: Path
    image: Path
    documents: list[Document]
    node: str
    namespace: str
    token: Path | None = None
    """A folder as the kubelet gives it to a pod; None: no cluster."""
    id: str = field(default_factory=lambda: f"conductor-test-{secrets.token_hex(3)}")
    started: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict, repr=False)

    @property
    def log(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.root.glob("*.log")))

    @property
    def spec(self) -> Document:
        return dict(named(self.documents, "DaemonSet")["spec"]["template"]["spec"])

    def prepare(self) -> None:
        """Run the preparing containers to their end, one after the other."""
        for one in self.spec["initContainers"]:
            self.begin(one, self.spec)
            assert self.started.pop(one["name"]).wait(60) == 0, self.log

    def start(self, name: str) -> None:
        """Start one of the containers that stay."""
        (found,) = [one for one in self.spec["containers"] if one["name"] == name]
        self.begin(found, self.spec)

    def hook(self) -> None:
        """Run the job that applies the kinds."""
        job = named(self.documents, "Job", "-crds")["spec"]["template"]["spec"]
        self.begin(job["containers"][0], job, token=True)
        assert self.started.pop(job["containers"][0]["name"]).wait(60) == 0, self.log

    def stop(self, name: str, signal: str = "TERM") -> int:
        """End a container; answers its code."""
        runc(self.root, "kill", f"{self.id}-{name}", signal, check=False)
        return self.started.pop(name).wait(40)

    def inside(self, name: str, *words: str) -> str:
        """Run a command in a container as its process runs; answers what it printed."""
        return runc(self.root, "exec", f"{self.id}-{name}", *words)

    def pid(self, name: str) -> int:
        """The first process of a container."""
        return int(json.loads(runc(self.root, "state", f"{self.id}-{name}"))["pid"])

    def end(self) -> None:
        for name in ("agent", *tuple(self.started)):
            if name in self.started:
                self.stop(name, "KILL" if name != "agent" else "TERM")

    def begin(self, container: Document, pod: Document, *, token: bool = False) -> None:
        bundle = self.root / "bundles" / container["name"]
        if bundle.exists():
            call("umount", "--recursive", str(bundle / "rootfs"))
            shutil.rmtree(bundle)
        for part in ("upper", "work", "rootfs"):
            (bundle / part).mkdir(parents=True)
        options = f"lowerdir={self.image / 'rootfs'},upperdir={bundle / 'upper'},workdir={bundle / 'work'}"
        call("mount", "-t", "overlay", "overlay", "-o", options, str(bundle / "rootfs"))
        (bundle / "config.json").write_text(json.dumps(self._config(container, pod, token=token)))
        with (self.root / f"{container['name']}.log").open("ab") as log:
            command = ["runc", "--root", str(self.root / "runc"), "run", "--bundle", str(bundle)]
            command.append(f"{self.id}-{container['name']}")
            self.started[container["name"]] = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def _config(self, container: Document, pod: Document, *, token: bool) -> Document:
        context = container["securityContext"]
        image = image_config(self.image)
        rights = sorted(capabilities(context))
        environment = [*image["Env"], *(f"{one['name']}={self._value(one)}" for one in container.get("env", ()))]
        words: list[str] = [*(container.get("command") or image["Entrypoint"]), *container.get("args", ())]
        options = [] if context.get("privileged") else ["ro"]
        mounts: list[Document] = [
            *_OWN,
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": options},
        ]
        mounts += [found for one in container.get("volumeMounts", ()) for found in self._mounts(one, pod)]
        if token and self.token:
            mounts.append(bind(self.token, "/var/run/secrets/kubernetes.io/serviceaccount", "ro", "rprivate"))
        linux: Document = {
            "namespaces": [{"type": "mount"}, {"type": "ipc"}],
            "cgroupsPath": f"/{self.id}-{container['name']}",
            "resources": {"devices": [{"allow": True, "access": "rwm"}]},
            "rootfsPropagation": "rshared" if any("rshared" in one.get("options", ()) for one in mounts) else "rslave",
        }
        if context.get("seccompProfile", {}).get("type") == "Localhost":
            profile = self.root / "kubelet/seccomp" / context["seccompProfile"]["localhostProfile"]
            linux["seccomp"] = json.loads(profile.read_text())
        return {
            "ociVersion": "1.0.2",
            "process": {
                "user": {
                    "uid": context["runAsUser"],
                    "gid": context["runAsGroup"],
                    "additionalGids": pod.get("securityContext", {}).get("supplementalGroups", []),
                },
                "args": [self._filled(word) for word in words],
                "env": environment,
                "cwd": "/",
                "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), rights),
                "noNewPrivileges": not context.get("privileged", False),
            },
            "root": {"path": "rootfs", "readonly": context["readOnlyRootFilesystem"]},
            "mounts": mounts,
            "linux": linux,
        }

    def _filled(self, word: str) -> str:
        return word.replace("$(NODE_NAME)", self.node).replace("$(NAMESPACE)", self.namespace)

    def _value(self, variable: Document) -> str:
        places = {"spec.nodeName": self.node, "metadata.namespace": self.namespace}
        return variable.get("value") or places[variable["valueFrom"]["fieldRef"]["fieldPath"]]

    def _mounts(self, mount: Document, pod: Document) -> Iterator[Document]:
        (volume,) = [one for one in pod["volumes"] if one["name"] == mount["name"]]
        source = self._source(volume)
        if source is not None:
            rights = "ro" if mount.get("readOnly") else "rw"
            yield bind(source, mount["mountPath"], rights, _PROPAGATION[mount.get("mountPropagation", "")])

    def _source(self, volume: Document) -> Path | None:
        """A folder of the node; None: a token, and no cluster."""
        if "projected" in volume:
            return self.token
        if "hostPath" in volume:
            path = Path(str(volume["hostPath"]["path"]))
            path.mkdir(parents=True, exist_ok=True)
            return path
        path = self.root / "volumes" / str(volume["name"])
        path.mkdir(parents=True, exist_ok=True)
        if "emptyDir" in volume:
            path.chmod(0o777)
        else:
            for name, text in named(self.documents, "ConfigMap")["data"].items():
                (path / name).write_text(text)
        return path


@contextmanager
def running(pod: Pod) -> Iterator[Pod]:
    """Have a node's folders, of which `run` passes mounts on as a systemd host's does; nothing is left."""
    run = pod.root / "run"
    run.mkdir()
    with ExitStack() as stack:
        call("mount", "--bind", str(run), str(run))
        stack.callback(lambda: call("umount", "--recursive", str(run)))
        call("mount", "--make-shared", str(run))
        stack.callback(lambda: unmount_below(pod.root / "bundles"))
        stack.callback(pod.end)
        yield pod


def capabilities(context: Document) -> set[str]:
    """What the runtime leaves to a container."""
    if context.get("privileged"):
        own = re.search(r"^CapEff:\s*(\w+)", Path("/proc/self/status").read_text(), re.MULTILINE)
        return {name for bit, name in enumerate(ALL) if own and int(own[1], 16) & 1 << bit}
    asked = context.get("capabilities", {})
    kept = set() if "ALL" in asked.get("drop", ()) else set(_DEFAULTS)
    return kept | {f"CAP_{name}" for name in asked.get("add", ())}


ALL = [
    f"CAP_{name}"
    for name in [
        "CHOWN",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "FOWNER",
        "FSETID",
        "KILL",
        "SETGID",
        "SETUID",
        "SETPCAP",
        "LINUX_IMMUTABLE",
        "NET_BIND_SERVICE",
        "NET_BROADCAST",
        "NET_ADMIN",
        "NET_RAW",
        "IPC_LOCK",
        "IPC_OWNER",
        "SYS_MODULE",
        "SYS_RAWIO",
        "SYS_CHROOT",
        "SYS_PTRACE",
        "SYS_PACCT",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_NICE",
        "SYS_RESOURCE",
        "SYS_TIME",
        "SYS_TTY_CONFIG",
        "MKNOD",
        "LEASE",
        "AUDIT_WRITE",
        "AUDIT_CONTROL",
        "SETFCAP",
        "MAC_OVERRIDE",
        "MAC_ADMIN",
        "SYSLOG",
        "WAKE_ALARM",
        "BLOCK_SUSPEND",
        "AUDIT_READ",
        "PERFMON",
        "BPF",
        "CHECKPOINT_RESTORE",
    ]
]


def image_config(image: Path) -> Document:
    """What the image itself says of its processes."""
    with tarfile.open(image / "image.tar") as archive:
        manifest = json.load(archive.extractfile("manifest.json") or NOTHING)
        config: dict[str, Any] = json.load(archive.extractfile(manifest[0]["Config"]) or NOTHING)["config"]
        return config


NOTHING: Any = None


def bind(source: Path, target: str, *options: str) -> Document:
    return {"destination": target, "type": "bind", "source": str(source), "options": ["rbind", *options]}


def runc(root: Path, *words: str, check: bool = True) -> str:
    return call("runc", "--root", str(root / "runc"), *words, check=check)


def call(*words: str, check: bool = True) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert not check or done.returncode == 0, f"{' '.join(words)}: {done.stdout[-8000:]}{done.stderr}"
    return done.stdout


def unmount_below(folder: Path) -> None:
    for place in sorted(folder.glob("*/rootfs")):
        if os.path.ismount(place):
            call("umount", "--recursive", str(place))
