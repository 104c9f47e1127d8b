"""Config of built-ins: checked against the declared schema, defaults filled in."""

from __future__ import annotations

from typing import Any

import pytest

from conductor.builtin import BUILTINS, Builtin, parse_config
from conductor.builtin.kit.declared import kernel_version
from conductor.builtin.service_map import ServiceMap
from conductor.errors import InvalidSpec


@pytest.mark.parametrize("builtin", BUILTINS, ids=lambda b: b.name)
def test_nothing_given_is_the_defaults(builtin: type[Builtin]) -> None:
    assert set(parse_config(builtin, {})) == set(builtin.config_schema["properties"])


def test_defaults_of_service_map() -> None:
    assert parse_config(ServiceMap, {}) == {"interval": 5, "loopback": False, "external": "one"}


def test_what_is_given_is_kept() -> None:
    assert parse_config(ServiceMap, {"interval": 0.5, "external": "ip"})["interval"] == 0.5
    assert parse_config(ServiceMap, {"external": "ip"})["external"] == "ip"


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"interval": 0}, "config.interval"),
        ({"interval": -5}, "config.interval"),
        ({"interval": 1e9}, "config.interval"),
        ({"interval": float("nan")}, "config.interval"),
        ({"interval": "soon"}, "config.interval"),
        ({"interval": True}, "config.interval"),
        ({"interval": None}, "config.interval"),
        ({"loopback": 1}, "config.loopback"),
        ({"loopback": "yes"}, "config.loopback"),
        ({"external": "all"}, "config.external"),
        ({"external": ["ip"]}, "config.external"),
        ({"colour": "red"}, "config.colour"),
    ],
)
def test_what_is_wrong_is_named(config: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        parse_config(ServiceMap, config)
    assert refused.value.field == field


def test_an_unknown_setting_is_told_what_there_is() -> None:
    with pytest.raises(InvalidSpec, match="interval, loopback, external"):
        parse_config(ServiceMap, {"colour": "red"})


@pytest.mark.parametrize(
    ("release", "version"),
    [("6.1.0-18-amd64", (6, 1)), ("5.19", (5, 19)), ("6.18.44-fc-v669", (6, 18)), ("nonsense", (0, 0))],
)
def test_kernel_versions(release: str, version: tuple[int, int]) -> None:
    assert kernel_version(release) == version
