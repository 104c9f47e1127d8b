"""A stand-in for the controllers and kubelet that would run the chart's jobs: their commands, as their accounts."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.cluster.testbed import Testbed

__all__ = ["Errands", "running"]

DONE = "2026-01-01T00:00:00Z"


@dataclass
class Errands:
    """What the jobs of a namespace said, by their names, in their order."""

    bed: Testbed
    namespace: str
    said: dict[str, str] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)
    _over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Look for jobs until it is over."""
        while not self._over.wait(0.2):
            jobs = json.loads(self.bed.kubectl("get", "jobs", "-n", self.namespace, "-o", "json"))["items"]
            for job in jobs:
                if job["metadata"]["uid"] not in self._seen:
                    self._seen.add(job["metadata"]["uid"])
                    self._do(job)

    def _do(self, job: dict[str, Any]) -> None:
        pod = job["spec"]["template"]["spec"]
        kubeconfig = self.bed.agent("errands", account=pod["serviceAccountName"], namespace=self.namespace)
        command = [sys.executable, "-m", "conductor", *pod["containers"][0]["args"], "--kubeconfig", str(kubeconfig)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
        self.said[job["metadata"]["name"]] = done.stdout + done.stderr
        words = ["SuccessCriteriaMet", "Complete"] if done.returncode == 0 else ["FailureTarget", "Failed"]
        conditions = [{"type": word, "status": "True", "lastTransitionTime": DONE} for word in words]
        status: dict[str, Any] = {"startTime": DONE, "conditions": conditions}
        if done.returncode == 0:
            status |= {"completionTime": DONE, "succeeded": 1}
        path = f"/apis/batch/v1/namespaces/{self.namespace}/jobs/{job['metadata']['name']}/status"
        self.bed.call("PUT", path, {**job, "status": status})


@contextmanager
def running(bed: Testbed, namespace: str) -> Iterator[Errands]:
    """Run the jobs of a namespace while the body runs."""
    errands = Errands(bed, namespace)
    thread = threading.Thread(target=errands.run, name="errands")
    thread.start()
    try:
        yield errands
    finally:
        errands._over.set()
        thread.join(120)
