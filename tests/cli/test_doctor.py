"""doctor: three answers, what would help, an archive without secrets."""

from __future__ import annotations

import json
import socket
import tarfile
from pathlib import Path

import pytest

from conductor.cli import checks
from conductor.cli.bundle import HIDDEN, redacted, redacted_text
from conductor.cli.checks import Answer
from conductor.cli.settings import read
from conductor.config import Config
from tests.cli.conftest import Conduct


def config(place: Path, **flags: object) -> Config:
    paths = {
        name: place / name for name in ("agent_socket", "loader_socket", "bpfman_socket", "state_dir", "cache_dir")
    }
    return read({name: str(path) for name, path in paths.items()} | {"http_address": "127.0.0.1:0"} | flags)


def test_every_line_is_an_answer_and_a_no_says_what_would_help(agent: Conduct, tmp_path: Path) -> None:
    said = agent(
        "doctor", "-o", "json", "--state-dir", tmp_path / "s", "--cache-dir", tmp_path / "c", "--http-address", ":0"
    )
    document = json.loads(said.out)
    assert {item["answer"] for item in document["items"]} <= {"yes", "no", "could not tell"}
    assert [item for item in document["items"] if item["answer"] != "yes" and not item["detail"]] == []
    names = [item["name"] for item in document["items"]]
    for name in (
        "version",
        "BTF",
        "bpffs",
        "tracefs",
        "cgroup v2",
        "libbpf",
        "road in use",
        "API server",
        "registries",
    ):
        assert name in names
    by_name = {item["name"]: item["answer"] for item in document["items"]}
    assert by_name["agent"] == by_name["road in use"] == "yes"
    assert document["canStart"] == (said.code == 0)


def test_who_answers_is_told_from_who_does_not(tmp_path: Path) -> None:
    settings = config(tmp_path)
    with socket.socket(socket.AF_UNIX) as door, socket.socket(socket.AF_UNIX) as gone:
        door.bind(str(settings.loader_socket))
        door.listen()
        gone.bind(str(settings.agent_socket))
        gone.close()
        found = {finding.name: finding for finding in checks.road(settings, None)}
    assert (found["loader"].answer, "did not answer" in found["loader"].detail) == (Answer.UNKNOWN, True)
    assert (found["agent"].answer, "nobody serves" in found["agent"].detail) == (Answer.NO, True)
    assert (found["bpfman"].answer, "is not there" in found["bpfman"].detail) == (Answer.NO, True)


def test_an_address_in_use_and_uid_0_keep_the_agent_from_starting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        findings = list(checks.files(config(tmp_path, http_address=f"127.0.0.1:{port}"), agent_runs=False))
    assert [f.name for f in findings if f.fatal and f.name != "code is readable"] == ["HTTP address"]
    (refused,) = checks.files(config(tmp_path, user="0"), agent_runs=False)
    assert refused.fatal
    assert "--allow-uid0" in refused.detail


def test_doctor_leaves_with_1_where_the_agent_could_not_start(conduct: Conduct, tmp_path: Path) -> None:
    said = conduct("doctor", "--user", "0", "--agent-socket", tmp_path / "none.sock")
    assert said.code == 1
    assert said.err == "conductor: the agent could not start here; the lines above say what would help\n"


def test_the_bundle_is_for_its_owner_and_holds_no_secret(agent: Conduct, tmp_path: Path) -> None:
    agent("load", "builtin", "service_map", "--config", "api_key=hunter2", "--metadata", "note=password=hunter2")
    bundle = tmp_path / "report.tar.gz"
    agent("doctor", "--bundle", bundle, "--kubeconfig", "/etc/hunter2")
    assert bundle.stat().st_mode & 0o777 == 0o600
    with tarfile.open(bundle) as archive:
        members = {m.name: archive.extractfile(m) for m in archive.getmembers()}
        texts = {name: file.read().decode() for name, file in members.items() if file}
    names = ["doctor", "machine", "settings", "agent", "programs", "kernel", "usage", "logs/service_map"]
    assert sorted(texts) == sorted(f"conductor/{name}.json" for name in names)
    assert not [name for name, text in texts.items() if "hunter2" in text]
    assert json.loads(texts["conductor/programs.json"])[0]["config"] == {"api_key": HIDDEN}
    assert "service_map" in texts["conductor/usage.json"]


def test_a_bundle_without_an_agent_says_so(conduct: Conduct, tmp_path: Path) -> None:
    conduct("doctor", "--bundle", tmp_path / "r.tgz", "--agent-socket", tmp_path / "none.sock")
    with tarfile.open(tmp_path / "r.tgz") as archive:
        assert "conductor/agent-unreachable.json" in archive.getnames()


def test_a_bundle_that_cannot_be_written_is_one_sentence(conduct: Conduct, tmp_path: Path) -> None:
    said = conduct("doctor", "--bundle", tmp_path / "no" / "r.tgz", "--agent-socket", tmp_path / "none.sock")
    assert (said.code, said.err) == (1, f"conductor: {tmp_path / 'no' / 'r.tgz'}: No such file or directory\n")


@pytest.mark.parametrize(
    "text",
    [
        "password=hunter2",
        'token: "hunter2"',
        "Authorization: Bearer hunter2",
        "https://user:hunter2@registry.example/v2",
        "api-key=hunter2&x=1",
        "eyJhbGciOi.eyJzdWIiOiJodW50ZXIy.hunter2",
        "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----",
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str) -> None:
    assert "hunter2" not in redacted_text(f"before {text} after")
    assert "before" in redacted_text(f"before {text} after")


def test_what_is_named_like_a_secret_is_taken_out_and_the_rest_stays() -> None:
    value = {"registryPassword": "x", "nested": [{"TOKEN": 5, "interval": 2}], "author": "me", "unknown": None}
    assert redacted(value) == {
        "registryPassword": HIDDEN,
        "nested": [{"TOKEN": HIDDEN, "interval": 2}],
        "author": "me",
        "unknown": None,
    }
