"""What changes on a node in a day: pods, programs and the node itself, at random, and what must be true after each."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from typing_extensions import override

from tests.real_node.release import EXAMPLES, NAMESPACE, Release
from tests.real_node.testbed import NODE, Document
from tests.real_node.watched import LABEL, pod, watching_program

__all__ = ["Day", "Figures"]

PODS = tuple(f"pod-{letter}" for letter in "abcd")
FILES = {
    "service-map": "service-map.yaml",
    "tcp-pairs": "kernel-program.yaml",
    "tcp-map": "granted-maps.yaml",
    "pressure": "user-program.yaml",
}
DAY = {"nodeSelector": {"matchLabels": {"day": "yes"}}}


@dataclass(frozen=True)
class Figures:
    """What must not grow."""

    series: frozenset[str]
    """Names of series of programs."""
    descriptors: int
    agent_mib: float
    loader_mib: float

    @override
    def __str__(self) -> str:
        return (
            f"{len(self.series)} series of programs, {self.descriptors} descriptors, agent {self.agent_mib:.1f} MiB, "
            f"loader {self.loader_mib:.1f} MiB"
        )


@dataclass
class Day:
    """The node's wishes as they stand, and one change after the other."""

    release: Release
    images: dict[str, str]
    library: str
    dice: random.Random
    programs: dict[str, Document] = field(default_factory=dict)
    pods: dict[str, bool] = field(default_factory=dict)
    """Pods that there should be, and whether they have the label."""
    is_day: bool = False
    done: Counter[str] = field(default_factory=Counter)

    # --- changes -----------------------------------------------------------------------------------------------------

    def change(self, *, agent_too: bool) -> None:
        """Change something; `agent_too`: the agent itself, too."""
        changes: dict[str, tuple[int, Callable[[], None]]] = {
            "program": (8, self._program),
            "pod": (8, self._pod),
            "label": (3, self._label),
            "node": (2, self._node),
            "agent's pod": (int(agent_too), self._agent),
        }
        ((name, (_, change)),) = self.dice.choices(list(changes.items()), [weight for weight, _ in changes.values()])
        self.done[name] += 1
        change()
        time.sleep(self.dice.random() / 2)

    def everything(self) -> None:
        """Wish for all that there is."""
        for name in (*FILES, *self.images):
            self._wish(name)
        for name in PODS:
            self._make(name, watched=True)
        self._time(is_day=True)
        self.settled()

    def nothing(self) -> None:
        """Wish for nothing, and wait for it."""
        cluster = self.release.cluster
        cluster.kubectl("delete", "kp,up", "--all", "--timeout=90s")
        cluster.kubectl("delete", "pods", "--all", "--now")
        self.programs.clear()
        self.pods.clear()
        self.settled()

    def _program(self) -> None:
        name = self.dice.choice([*FILES, *self.images])
        if name in self.programs and self.dice.random() < 0.5:
            self.release.cluster.kubectl("delete", "kp,up", name, "--ignore-not-found", "--wait=false")
            del self.programs[name]
            self._gone(name)
        else:
            self._wish(name)

    def _gone(self, name: str) -> None:
        """An object is made anew under its name only when the one before is gone, as `kubectl apply` would not."""
        cluster = self.release.cluster
        cluster.until(lambda: not cluster.kubectl("get", "kp,up", name, "--ignore-not-found").strip(), f"rid of {name}")

    def _wish(self, name: str) -> None:
        document = self._document(name)
        self.programs[name] = document
        self.release.cluster.apply(document)

    def _document(self, name: str) -> Document:
        kind: Document = {"apiVersion": "ebpfconductor.io/v1alpha1", "metadata": {"name": name}}
        if name == "inside":
            return watching_program(name, self.images[name])
        if name == "ticks":
            limits = {"memory": self.dice.choice(["16Mi", "24Mi"])}
            image = {"wasm": {"image": {"url": self.images[name]}}}
            return {**kind, "kind": "UserProgram", "spec": {"source": image, "limits": limits}}
        document: Document = yaml.safe_load((EXAMPLES / FILES[name]).read_text())
        if name in {"service-map", "tcp-map"}:
            document["spec"]["config"] = {"interval": self.dice.choice([1, 2])}
        if name == "pressure":
            document["spec"] |= DAY
        return document

    def _pod(self) -> None:
        name = self.dice.choice(PODS)
        if name in self.pods:
            self.release.cluster.kubectl("delete", "pod", name, "--now")
            del self.pods[name]
            if self.dice.random() < 0.5:
                return
        self._make(name, watched=self.dice.random() < 0.7)

    def _make(self, name: str, *, watched: bool) -> None:
        self.pods[name] = watched
        self.release.cluster.apply(pod(name, self.library, LABEL if watched else {"watched": "no"}))

    def _label(self) -> None:
        if self.pods:
            name = self.dice.choice(sorted(self.pods))
            self.pods[name] = not self.pods[name]
            word = "yes" if self.pods[name] else "no"
            self.release.cluster.kubectl("label", "pod", name, f"watched={word}", "--overwrite")

    def _node(self) -> None:
        if self.dice.random() < 0.3:
            for word in ("cordon", "uncordon"):
                self.release.cluster.kubectl(word, NODE)
        else:
            self._time(is_day=not self.is_day)

    def _time(self, *, is_day: bool) -> None:
        self.is_day = is_day
        self.release.cluster.kubectl("label", "node", NODE, f"day={'yes' if is_day else 'no'}", "--overwrite")

    def _agent(self) -> None:
        """End the DaemonSet's pod: another takes its place."""
        words = ("pod", "-n", NAMESPACE, "-l", "app.kubernetes.io/name=ebpfconductor")
        self.release.cluster.kubectl("delete", *words)
        self.release.wait()

    # --- what must be true -------------------------------------------------------------------------------------------

    def settled(self) -> None:
        """Wait until what runs is what is wished for, and attached where it should be."""
        cluster = self.release.cluster
        cluster.until(lambda: self._expect(self._states(), self._wanted()), "as wished for", 90)
        watched = sum(self.pods.values()) if "inside" in self.programs else 0
        cluster.until(lambda: self._expect(self._attached(), {"tcx": watched, "uprobe": watched}), "attached", 30)

    def _expect(self, found: Any, wanted: Any) -> bool:
        assert found == wanted, f"{found} and not {wanted}"
        return True

    def _states(self) -> dict[str, str]:
        return {name: words.split()[0] for name, words in self.release.states().items()}

    def _wanted(self) -> dict[str, str]:
        wanted = dict.fromkeys(self.programs, "Running")
        if "tcp-map" in wanted and "tcp-pairs" not in wanted:
            wanted["tcp-map"] = "Waiting"
        if not self.is_day:
            wanted.pop("pressure", None)
        return wanted

    def _attached(self) -> dict[str, int]:
        links = self.release.links()
        return {
            "tcx": sum(link.type == "tcx" for link in links),
            "uprobe": sum(link.detail.get("kind") == "uprobe" for link in links),
        }

    def figures(self) -> Figures:
        """Measure."""
        time.sleep(3)
        pids = {name: self.release.pid(name) for name in ("agent", "loader")}
        page = self.release.cluster.page("/metrics")
        return Figures(
            series=frozenset(re.findall(r'^(\w+\{.*program="[^"]+".*?\}) ', page, re.MULTILINE)),
            descriptors=sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids.values()),
            agent_mib=_resident(pids["agent"]),
            loader_mib=_resident(pids["loader"]),
        )


def _resident(pid: int) -> float:
    (found,) = re.findall(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found) / 1024
