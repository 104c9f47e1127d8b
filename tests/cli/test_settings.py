from __future__ import annotations

import os
from pathlib import Path

import pytest

from conductor.cli.settings import AGENT, LOADER, child_environment, child_flags, read
from conductor.errors import InvalidConfig
from tests.cli.conftest import Conduct


def test_a_file_is_read_below_flags_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "conductor.toml"
    file.write_text('kernel = "none"\nlog-level = "debug"\nnode-name = "file"\ngroups = ["adm"]\n')
    monkeypatch.setenv("CONDUCTOR_CONFIG", str(file))
    monkeypatch.setenv("CONDUCTOR_LOG_LEVEL", "error")
    config = read({"node_name": "flag"})
    assert (config.kernel, config.log_level, config.node_name, config.groups) == ("none", "error", "flag", ("adm",))


def test_a_node_is_named_after_its_host() -> None:
    assert read({}).node_name == os.uname().nodename


def test_paths_of_the_command_line_start_where_the_user_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = read({"apply": ("a.yaml", "/b.yaml"), "state_dir": "state"})
    assert config.apply == (tmp_path / "a.yaml", Path("/b.yaml"))
    assert config.state_dir == tmp_path / "state"


@pytest.mark.parametrize(("content", "sentence"), [("a = = b", "is no TOML"), (None, "No such file")])
def test_a_bad_file_is_one_sentence(tmp_path: Path, content: str | None, sentence: str) -> None:
    if content:
        (tmp_path / "c.toml").write_text(content)
    with pytest.raises(InvalidConfig, match=sentence):
        read({}, str(tmp_path / "c.toml"))


def test_every_bad_setting_is_a_line_and_leaves_with_2(conduct: Conduct) -> None:
    said = conduct("agent", "--kernel", "magic", "--lease-duration", "soon", "--user", "root")
    assert said.code == 2
    assert [line.split(":")[1].strip() for line in said.err.splitlines()] == ["--kernel", "--lease-duration"]


def test_a_child_is_told_by_flags_alone_and_only_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDUCTOR_KERNEL", "none")
    monkeypatch.setenv("CONDUCTOR_STATS", "off")
    config = read({"node_name": "n", "keep": True})
    assert child_flags(config, AGENT) == ("--kernel", "none", "--node-name", "n")
    assert child_flags(config, LOADER) == ("--no-stats",)
    assert not [name for name in child_environment() if name in {"CONDUCTOR_KERNEL", "CONDUCTOR_STATS"}]
