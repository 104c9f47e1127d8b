"""Values: those that mean nothing are refused by name, and every value of values.yaml is known to the schema."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.chart.rendered import CHART, helm, refusal

pytestmark = pytest.mark.cluster
BAD: list[tuple[dict[str, Any], str]] = [
    ({"http": {"port": 0}}, "at '/http/port': minimum"),
    ({"agent": {"user": 0}}, "at '/agent/user': minimum"),
    ({"rood": "loader"}, "'rood' not allowed"),
    ({"agent": {"memory": "1Gi"}}, "at '/agent': additional properties 'memory' not allowed"),
    ({"road": "kernel"}, "at '/road': value must be one of 'loader', 'bpfman', 'host-bpfman'"),
    ({"road": "bpfman"}, "at '/bpfman/image/repository': minLength"),
    ({"seccomp": "RuntimeDefault"}, "at '/seccomp': value must be one of"),
    ({"paths": {"run": "run/here"}}, "at '/paths/run'"),
    ({"paths": {"run": "/run/a; rm -rf /"}}, "at '/paths/run'"),
    ({"image": {"digest": "sha256:1"}}, "at '/image/digest'"),
    ({"pullSecrets": ["Not A Name"]}, "at '/pullSecrets/0'"),
    ({"agent": {"leaseDuration": "soon"}}, "at '/agent/leaseDuration'"),
    ({"hostNetwork": "yes"}, "at '/hostNetwork': got string, want boolean"),
    ({"apiServer": {"host": "https://10.0.0.1"}}, "at '/apiServer/host'"),
]


def test_helm_has_nothing_to_complain_about() -> None:
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout
    assert "WARNING" not in done.stdout


@pytest.mark.parametrize(("values", "told"), BAD, ids=[told for _, told in BAD])
def test_a_bad_value_is_refused_by_its_place(values: dict[str, Any], told: str) -> None:
    assert told in refusal(values)


def test_the_schema_knows_every_value_and_no_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    given = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(schema["properties"]) - {"global"} == set(given)
    for name, value in given.items():
        if inner := schema["properties"][name].get("properties"):
            assert set(inner) == set(value) | ({"user", "role", "type", "level"} if name == "seLinuxOptions" else set())
