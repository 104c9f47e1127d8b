"""Room for dashboards: a ConfigMap for each file, to the letter, where they are wished."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.chart.rendered import CHART, NAMESPACE, RELEASE, Document, helm, rendered

pytestmark = pytest.mark.cluster
PANEL = {"title": "Cost", "panels": [{"legendFormat": "{{program}}", "expr": 'sum(rate(x{a="$b"}[1m])) by (c)'}]}


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """Our chart with a dashboard more."""
    shutil.copytree(CHART, tmp_path / "chart")
    folder = tmp_path / "chart/files/dashboards"
    folder.mkdir(exist_ok=True)
    (folder / "cost.json").write_text(json.dumps(PANEL))
    return tmp_path / "chart"


def dashboards(chart: Path, *words: str) -> list[Document]:
    done = helm("template", RELEASE, str(chart), "--namespace", NAMESPACE, *words)
    assert done.returncode == 0, done.stderr
    found = [document for document in yaml.safe_load_all(done.stdout) if document and document["kind"] == "ConfigMap"]
    return [one for one in found if "-dashboard-" in one["metadata"]["name"]]


def test_a_file_is_told_to_the_letter_with_the_labels_that_are_looked_for(chart: Path) -> None:
    words = ("--set", "dashboards.enabled=true", "--set", "dashboards.annotations.grafana_folder=eBPF")
    (one,) = [one for one in dashboards(chart, *words) if one["metadata"]["name"].endswith("-cost")]
    assert one["metadata"]["name"] == "ours-ebpfconductor-dashboard-cost"
    assert one["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert one["metadata"]["annotations"] == {"grafana_folder": "eBPF"}
    assert json.loads(one["data"]["cost.json"]) == PANEL


def test_by_default_there_is_none(chart: Path) -> None:
    assert dashboards(chart) == []


def test_there_are_as_many_as_the_chart_has_files() -> None:
    made = [one for one in rendered({"dashboards": {"enabled": True}}) if "-dashboard-" in one["metadata"]["name"]]
    assert len(made) == len(list((CHART / "files/dashboards").glob("*.json")))
