"""`conductor wasm new`: what is in the folder, under which names, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conductor.api.manifests import specs_of
from conductor.cli.wasm_new import make
from conductor.cli.wasm_project import Language, Project
from conductor.errors import AlreadyExists, InvalidSpec, NotFound
from tests.sdk.conftest import Conduct, examples_of

GUESTS = {
    Language.C: "my-tool.c",
    Language.RUST: "lib.rs",
    Language.GO: "main.go",
    Language.ASSEMBLYSCRIPT: "index.ts",
}


@pytest.mark.parametrize("language", Language)
def test_the_folder_is_a_program_of_that_name(tmp_path: Path, language: Language) -> None:
    folder = tmp_path / "my-tool"
    make(folder, language, "syscall_counter")
    project = Project.of(folder)
    assert (project.name, project.language) == ("my-tool", language)
    assert project.kernel_source.is_file()
    assert "my_tool_calls_total" in (folder / GUESTS[language]).read_text()
    kernel, user = specs_of((folder / "manifest.yaml").read_text())
    assert (kernel.name, user.name) == ("my-tool-kernel", "my-tool")
    assert str(folder / "my-tool.wasm") in (folder / "manifest.yaml").read_text()


@pytest.mark.parametrize("language", Language)
def test_nothing_of_the_sdk_s_own_names_and_places_is_left(tmp_path: Path, language: Language) -> None:
    folder = tmp_path / "my-tool"
    make(folder, language, "syscall_counter")
    for path in folder.rglob("*"):
        assert "syscall_counter" not in path.name
        if path.is_file() and "conductor" not in path.relative_to(folder).parts[0]:
            text = path.read_text()
            assert "syscall_counter" not in text, path
            assert "../../" not in text, path
            assert "/path/to" not in text, path


def test_a_name_that_holds_the_example_s_is_put_in_once(tmp_path: Path) -> None:
    make(tmp_path / "psi_watch-2", Language.C, "psi_watch")
    expected = json.loads((tmp_path / "psi_watch-2" / "expected.json").read_text())
    assert expected["metrics"][0]["name"] == "psi_watch_2_ticks_total"


def test_a_name_that_begins_with_a_digit_still_makes_metrics(tmp_path: Path) -> None:
    make(tmp_path / "2nd", Language.C, "psi_watch")
    assert "n2nd_ticks_total" in (tmp_path / "2nd" / "2nd.c").read_text()


def test_no_kernel_makes_none(conduct: Conduct, tmp_path: Path) -> None:
    conduct("wasm", "new", tmp_path / "alone", "--lang", "rust", "--no-kernel")
    assert not list((tmp_path / "alone").glob("*.bpf.c"))


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious").write_text("kept")
    with pytest.raises(AlreadyExists):
        make(tmp_path / "mine", Language.C, "psi_watch")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["precious"]


def test_names_that_no_program_can_have_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec, match="NAME"):
        make(tmp_path / "Not A Name", Language.C, "psi_watch")


def test_an_unknown_example_is_told_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="psi_watch"):
        make(tmp_path / "x", Language.GO, "absent")


@pytest.mark.parametrize("language", Language)
def test_every_language_has_what_new_begins_with(language: Language) -> None:
    assert examples_of(language) == ["exec_snoop", "psi_watch", "syscall_counter", "tcp_retransmit"]
