"""docs/install.md: its Helm commands are ones that a real API server takes, its tables name what is there."""

from __future__ import annotations

import re
import shlex

import pytest
import yaml

from tests.chart.rendered import CHART, container, helm, rendered
from tests.cluster.testbed import Testbed
from tests.docs.playing import steps
from tests.docs.reading import DOCS, ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]
TEXT = (DOCS / "install.md").read_text()
LINES = [step.command for step in steps(TEXT)]
INSTALLS = [line for line in LINES if line.startswith("helm upgrade --install")]


def test_there_are_commands() -> None:
    assert len(INSTALLS) == 3


@pytest.mark.parametrize("line", INSTALLS)
def test_the_server_takes_what_helm_would_install(kinds: Testbed, line: str) -> None:
    # Helm asks for kinds of the Prometheus operator only where they are switched on; a dry run wants them served.
    words = [word for word in shlex.split(line)[1:] if not word.startswith("monitoring")]
    words = [
        word for word, following in zip(words, [*words[1:], ""], strict=True) if (word, following) != ("--set", "")
    ]
    done = helm(*words, "--dry-run=server", "--no-hooks", kubeconfig=kinds.admin)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("kubectl get")])
def test_kubectl_knows_what_is_asked_for(kinds: Testbed, line: str) -> None:
    kinds.kubectl(*shlex.split(line)[1:])


def test_files_and_folders_are_there() -> None:
    named = re.findall(r"(?:examples|charts)/[\w./-]+", TEXT)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_values_are_there() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for row in re.findall(r"^\| (`\w.*?`) \| ", TEXT.split("## Values")[1].split("## Upgrade")[0], re.MULTILINE):
        for name in re.findall(r"`([\w.]+)[:`]", row):
            found = values
            for part in name.split("."):
                assert part in found, name
                found = found[part]


def test_containers_and_folders_are_as_told() -> None:
    documents = rendered()
    for name in ("prepare", "agent", "loader"):
        assert f"| `{name}`" in TEXT
        container(documents, name)
    assert container(documents, "prepare")["securityContext"]["capabilities"]["add"] == [
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
    ]
