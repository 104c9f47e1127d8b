"""A release of the chart on the testbed's node: installed, asked, looked at in the kernel."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from conductor.bpf.ids import link_by_id, link_ids
from conductor.bpf.link_info import LinkInfo, link_info
from conductor.errors import NotFound
from tests.e2e.node import Series, bpftool
from tests.real_node.testbed import NODE, Cluster, Document

__all__ = ["CHART", "EXAMPLES", "NAME", "NAMESPACE", "Release"]

CHART = Path(__file__).parents[2] / "charts" / "ebpfconductor"
EXAMPLES = Path(__file__).parents[2] / "examples"
NAME, NAMESPACE = "ebpfconductor", "ebpf"
RUN = "/run/ebpfconductor"


class Release:
    """The chart installed on the node, as users have it."""

    def __init__(self, *, cluster: Cluster) -> None:
        self.cluster = cluster
        self.seen: set[int] = set()
        """Kernel ids of programs that were ours."""
        self._values: tuple[str, ...] | None = None

    def have(self, *values: str) -> None:
        """Have it installed with these values (`a.b=c`), and without any program."""
        if self._values != values:
            self.install(*values)
        self.cluster.kubectl("delete", "kp,up", "--all", "--timeout=60s")

    def install(self, *values: str) -> None:
        """Install or upgrade, and wait until the pod of now is ready."""
        words = [word for value in values for word in ("--set", value)]
        words += ["--namespace", NAMESPACE, "--create-namespace"]
        # Without any value Helm goes on with those of the release before.
        self.cluster.helm("upgrade", "--install", "--reset-values", NAME, str(CHART), *words)
        self.wait()
        self._values = values

    def wait(self) -> None:
        """Wait until the DaemonSet's pod of now is ready."""
        words = ("rollout", "status", f"daemonset/{NAME}", "--timeout=90s")
        done = self.cluster.kubectl("-n", NAMESPACE, *words, check=False)
        assert "successfully rolled out" in done, done + self.cluster.story()

    def uninstall(self) -> str:
        """Uninstall; answers what Helm said."""
        self._values = None
        return self.cluster.helm("uninstall", NAME, "--namespace", NAMESPACE)

    # --- what is told ------------------------------------------------------------------------------------------------

    @property
    def pod(self) -> Document:
        """The DaemonSet's pod that is not about to end."""
        found = self.cluster.items("pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/name=ebpfconductor")
        (pod,) = [one for one in found if "deletionTimestamp" not in one["metadata"]]
        return pod

    def states(self) -> dict[str, str]:
        """State and reason of programs, as the cluster knows them."""
        rows = self.cluster.get("nodestate", NODE).get("status", {}).get("programs") or ()
        return {row["name"]: " ".join(filter(None, (row["state"], row.get("reason", "")))) for row in rows}

    def until(self, seconds: float = 60, /, **states: str) -> None:
        """Wait until exactly this is told."""
        self.cluster.until(lambda: self.states() == {n.replace("_", "-"): s for n, s in states.items()}, "so", seconds)

    def series(self, query: str = "") -> Series:
        """The page of metrics."""
        found: Series = {}
        for family in text_string_to_metric_families(self.cluster.page(f"/metrics{query}")):
            for sample in family.samples:
                found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
        return found

    def ready(self) -> bool:
        """Whether the agent says so."""
        return "ok" in self.cluster.page("/readyz")

    def inside(self, container: str, *words: str) -> str:
        """Run a command in a container of the pod."""
        return self.cluster.kubectl(
            "exec", "-n", NAMESPACE, self.pod["metadata"]["name"], "-c", container, "--", *words
        )

    def pid(self, container: str) -> int:
        """The first process of a container, as we see it from outside."""
        (found,) = [
            pid
            for pid, words in self.cluster.machine.processes()
            if f"--{container}-socket={RUN}/{container}.sock" in words and container in words
        ]
        return found

    def restarts(self) -> dict[str, int]:
        """How often containers of the pod were started again."""
        return {one["name"]: one["restartCount"] for one in self.pod["status"]["containerStatuses"]}

    def example(self, *names: str) -> None:
        """Apply examples."""
        for name in names:
            self.cluster.kubectl("apply", "-f", str(EXAMPLES / name))

    # --- what is there -----------------------------------------------------------------------------------------------

    def pins(self, kind: str = "") -> set[str]:
        """Pins of ours on the node, of programs, links or maps."""
        root = self.cluster.machine.seen(RUN) / "bpf"
        paths = [path for path in (root / kind).rglob("*") if path.is_file() and path.suffix != ".debug"]
        return {str(path.relative_to(root)) for path in paths}

    def programs(self) -> set[int]:
        """Kernel ids of our programs that the kernel still has."""
        pinned = {int(name.rsplit("/", 1)[1]) for name in self.pins("programs")}
        found = pinned & {program["id"] for program in bpftool("prog")}
        self.seen |= found
        return found

    def gone(self, programs: set[int], *, seconds: float = 10) -> bool:
        """Whether the kernel has none of these any more; it frees what nobody holds a little later."""
        until = time.monotonic() + seconds
        while programs & {program["id"] for program in bpftool("prog")}:
            if time.monotonic() > until:
                return False
            time.sleep(0.1)
        return True

    def links(self) -> list[LinkInfo]:
        """What the kernel says of the links of our programs, but for those whose interface is gone."""
        ours, found = self.programs(), list[LinkInfo]()
        for number in link_ids():
            with suppress(NotFound), link_by_id(number) as fd:
                found.append(link_info(fd.fileno()))
        return [link for link in found if link.prog_id in ours and link.detail.get("ifindex") != 0]
