"""list, get, load, unload, start, stop, restart, update: documents, tables, exit codes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from conductor.model.ids import Name
from conductor.model.program import BuiltinSource, Source, UserProgramSpec
from tests.cli.conftest import Conduct, Served

P = {
    "name": "flows",
    "type": "Builtin",
    "builtin": "service_map",
    "state": "Running",
    "reason": "",
    "message": "",
    "since": "2023-11-14T22:13:22.000Z",
    "restarts": 0,
    "generation": 1,
    "maps": [{"name": "seen", "kernelProgram": "k1", "programId": 100, "access": "ReadWrite"}],
    "metadata": {"team": "net"},
    "config": {"interval": 5, "external": "ip"},
    "bytecode": "",
    "digest": "",
    "source": "grpc",
}
LOAD = (
    *("load", "builtin", "service_map", "--name", "flows", "--config", "interval=5", "--config", "external=ip"),
    *("--map", "seen=k1/conns:rw", "--metadata", "team=net"),
)


def undated(text: str) -> str:
    """Ages depend on the day."""
    return re.sub(r"\b\d+d\b", "AGE", text)


def test_load_get_and_list_give_one_shape(agent: Conduct) -> None:
    assert json.loads(agent(*LOAD, "-o", "json").out) == P
    assert json.loads(agent("get", "flows", "-o", "json").out) == P
    assert json.loads(agent("list", "-o", "json").out) == {"items": [P]}
    assert yaml.safe_load(agent("list", "-o", "yaml").out) == {"items": [P]}
    assert list(json.loads(agent("get", "flows", "-o", "json").out)) == list(P)
    assert agent("list", "-o", "name").out == "flows\n"


def test_the_table_is_aligned_and_nothing_else_is_on_stdout(agent: Conduct) -> None:
    agent(*LOAD)
    agent("load", "builtin", "broken")
    said = agent("list")
    assert undated(said.out) == (
        "NAME    TYPE     STATE    REASON  RESTARTS  AGE\n"
        "broken  Builtin  Failed   Broken  0         AGE\n"
        "flows   Builtin  Running          0         AGE\n"
    )
    assert said.err == ""


def test_wide_says_where_it_came_from_and_what_to_do(agent: Conduct) -> None:
    agent("load", "builtin", "broken")
    assert undated(agent("list", "-o", "wide").out) == (
        "NAME    TYPE     STATE   REASON  RESTARTS  AGE    SOURCE  GENERATION  FROM            MAPS  MESSAGE\n"
        "broken  Builtin  Failed  Broken  0         AGE  grpc    1           builtin:broken        "
        "it is broken: load another\n"
    )


def test_an_empty_list_is_a_note_beside_the_document(agent: Conduct) -> None:
    said = agent("list")
    assert (said.code, said.out) == (0, "")
    assert "conductor list --available" in said.err
    assert json.loads(agent("list", "-o", "json").out) == {"items": []}


def test_get_tells_everything_that_is_not_empty(agent: Conduct) -> None:
    agent(*LOAD)
    lines = agent("get", "flows").out.splitlines()
    assert lines[0].split() == ["name:", "flows"]
    assert "config:      interval=5, external=ip" in lines
    assert "maps:        seen=k1" in lines
    assert not any(line.startswith("reason") for line in lines)


def test_settings_are_shown_as_config_takes_them(agent: Conduct) -> None:
    agent("load", "builtin", "service_map", "--config", "loopback=true", "--config", "external=ip")
    assert "config:      loopback=true, external=ip" in agent("get", "service_map").out.splitlines()


def test_list_filters_by_label_and_type(agent: Conduct) -> None:
    agent(*LOAD)
    agent("load", "builtin", "host_pressure")
    assert agent("list", "-l", "team=net", "-o", "name").out == "flows\n"
    assert agent("list", "--type", "wasm", "-o", "name").out == ""
    assert agent("list", "--type", "builtin", "-o", "name").out == "flows\nhost_pressure\n"


def test_available_shows_what_could_be_loaded(agent: Conduct) -> None:
    document = json.loads(agent("list", "--available", "-o", "json").out)
    assert [sorted(item) for item in document["items"]] == [
        ["configSchema", "description", "metrics", "name", "needs", "type"]
    ]
    assert agent("list", "--available").out.startswith("NAME ")


def test_a_program_that_fails_is_shown_and_leaves_with_1(agent: Conduct) -> None:
    said = agent("load", "builtin", "broken", "-o", "json")
    assert said.code == 1
    assert json.loads(said.out)["state"] == "Failed"
    assert said.err == "conductor: broken failed: it is broken: load another\n"


def test_only_images_have_a_pull_policy(agent: Conduct) -> None:
    agent(*LOAD)
    said = agent("update", "flows", "--pull-policy", "Always")
    assert (said.code, said.err) == (1, "conductor: --pull-policy: flows comes from no image\n")


def test_what_the_agent_refuses_is_one_sentence(agent: Conduct) -> None:
    agent(*LOAD)
    said = agent("load", "builtin", "service_map", "--name", "flows")
    assert (said.code, said.out) == (1, "")
    assert said.err == "conductor: flows runs with another spec: use Update\n"
    assert agent("get", "nobody").code == 1


def test_lifecycle_shows_the_state_it_reached(agent: Conduct) -> None:
    agent(*LOAD)
    assert json.loads(agent("stop", "flows", "-o", "json").out)["items"][0]["state"] == "Stopped"
    assert "Running" in agent("start", "flows").out
    assert json.loads(agent("restart", "flows", "-o", "json").out)["items"][0]["restarts"] == 1
    assert agent("unload", "flows").out == "flows unloaded\n"
    assert agent("list", "-o", "name").out == ""


def test_one_refused_name_does_not_stop_the_others(agent: Conduct, served: Served) -> None:
    held = UserProgramSpec(name=Name("theirs"), source=BuiltinSource(name="slow"))
    served.do(lambda here: here.programs.hold(held, Source.CLUSTER))
    agent(*LOAD)
    said = agent("unload", "theirs", "flows")
    assert (said.code, said.out) == (1, "flows unloaded\n")
    assert said.err == "conductor: theirs belongs to source cluster\n"


def test_update_changes_what_is_named_and_leaves_the_rest(agent: Conduct, served: Served) -> None:
    agent(*LOAD)
    said = agent("update", "flows", "--config", "interval=2", "--unset", "external", "--recreate", "-o", "json")
    document = json.loads(said.out)
    assert document["config"] == {"interval": 2}
    assert document["metadata"] == {"team": "net"}
    assert [m["kernelProgram"] for m in document["maps"]] == ["k1"]
    assert document["generation"] == 2
    assert served.house.programs.updates == [(False, True)]


def test_a_deadline_of_the_caller_is_told_while_the_work_goes_on(agent: Conduct) -> None:
    said = agent("load", "builtin", "slow", "--config", "delay=0.6", "--timeout", "200ms")
    assert said.code == 1
    assert "goes on" in said.err
    assert agent("get", "slow").code == 0


def test_a_wasm_file_is_sent_and_the_agents_sentence_shown(agent: Conduct, tmp_path: Path) -> None:
    module = tmp_path / "Counter.wasm"
    module.write_bytes(b"\0asm\x01\0\0\0")
    said = agent("load", "wasm", module, "--map", "counts=k1")
    assert (said.code, said.err) == (1, "conductor: this version runs no wasm\n")
    assert "no such file" in agent("load", "wasm", tmp_path / "gone.wasm").err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--config", "interval"), "'interval' is not written KEY=VALUE"),
        (("--map", "a=b:write"), "access 'write' is none of read, consume, rw"),
        (("--timeout", "soon"), "'soon' is no duration"),
        (("--colour",), "No such option"),
    ],
)
def test_wrong_usage_leaves_with_2(agent: Conduct, words: tuple[str, ...], sentence: str) -> None:
    said = agent("load", "builtin", "service_map", *words)
    assert (said.code, said.out) == (2, "")
    assert sentence in said.err
    assert said.err.count("\n") == 1


def test_an_agent_that_is_not_there_leaves_with_3(conduct: Conduct, tmp_path: Path) -> None:
    said = conduct("list", "--agent-socket", tmp_path / "none.sock")
    assert (said.code, said.out) == (3, "")
    assert said.err.startswith("conductor: no agent answers at")
    assert said.err.count("\n") == 1
