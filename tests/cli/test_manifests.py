"""apply, diff, delete: files, folders, standard input; the agent's sentences with the file's name."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from conductor.cli.manifests import batches
from tests.cli.conftest import Conduct

KERNEL = """\
apiVersion: ebpfconductor.io/v1alpha1
kind: KernelProgram
metadata: {name: syscalls}
spec:
  bytecode: {path: OBJECT}
  programs: [{name: on_enter, type: TracePoint, tracepoint: {links: [{name: raw_syscalls/sys_enter}]}}]
"""
USER = """\
apiVersion: ebpfconductor.io/v1alpha1
kind: UserProgram
metadata: {name: flows}
spec:
  source: {builtin: service_map}
  config: {interval: 5}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with both manifests, the object beside it, and a file that is none of ours."""
    place = tmp_path / "manifests"
    place.mkdir()
    (tmp_path / "x.bpf.o").write_bytes(b"object")
    (place / "10-kernel.yaml").write_text(KERNEL.replace("OBJECT", str(tmp_path / "x.bpf.o")))
    (place / "20-user.yml").write_text(USER)
    (place / "README.md").write_text("not a manifest")
    return place


def test_a_folder_is_applied_in_order_and_again_changes_nothing(agent: Conduct, folder: Path) -> None:
    assert agent("apply", "-f", folder).out == "kernelprogram/syscalls created\nuserprogram/flows created\n"
    assert agent("apply", "-f", folder).out == "kernelprogram/syscalls unchanged\nuserprogram/flows unchanged\n"


def test_local_objects_are_sent_and_named_by_digest(agent: Conduct, folder: Path) -> None:
    agent("apply", "-f", folder / "10-kernel.yaml")
    digest = hashlib.sha256(b"object").hexdigest()
    (folder.parent / "x.bpf.o").write_bytes(b"another object")
    assert agent("apply", "-f", folder / "10-kernel.yaml", "--dry-run").out == "kernelprogram/syscalls configured\n"
    assert f"-    digest: sha256:{digest}" in agent("diff", "-f", folder / "10-kernel.yaml").out


def test_a_dry_run_changes_nothing_and_says_so(agent: Conduct, folder: Path) -> None:
    said = agent("apply", "-f", folder, "--dry-run")
    assert said.out.endswith("userprogram/flows created\n")
    assert "dry run" in said.err
    assert agent("list", "-o", "name").out == ""


def test_manifests_come_on_standard_input_and_in_many_files(agent: Conduct, folder: Path) -> None:
    said = agent("apply", "-f", "-", "-f", folder / "10-kernel.yaml", "-o", "name", stdin=USER)
    assert said.out == "userprogram/flows\nkernelprogram/syscalls\n"


def test_diff_shows_lines_and_nothing_where_nothing_changes(agent: Conduct, folder: Path, tmp_path: Path) -> None:
    agent("apply", "-f", folder / "20-user.yml")
    assert agent("diff", "-f", folder / "20-user.yml").out == ""
    (tmp_path / "next.yaml").write_text(USER.replace("interval: 5", "interval: 9"))
    lines = agent("diff", "-f", tmp_path / "next.yaml").out.splitlines()
    assert "-    interval: 5" in lines
    assert "+    interval: 9" in lines


def test_delete_needs_kind_and_name_alone(agent: Conduct, folder: Path) -> None:
    agent("apply", "-f", folder)
    stub = "kind: UserProgram\nmetadata: {name: flows}\n"
    assert agent("delete", "-f", "-", "--dry-run", stdin=stub).out == "userprogram/flows deleted\n"
    document = json.loads(agent("delete", "-f", "-", "-o", "json", stdin=stub).out)
    assert document["items"][0] | {"diff": ""} == {
        "kind": "UserProgram",
        "name": "flows",
        "action": "deleted",
        "diff": "",
    }
    assert agent("list", "-o", "name").out == ""


def test_one_bad_file_is_named_with_line_and_field_and_nothing_is_sent(agent: Conduct, folder: Path) -> None:
    (folder / "30-bad.yaml").write_text(
        USER.replace("flows", "other").replace("interval: 5}", "interval: 5}\n  colour: red")
    )
    said = agent("apply", "-f", folder)
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith(f"conductor: {folder / '30-bad.yaml'}: line 7: spec.colour: ")
    assert agent("list", "-o", "name").out == ""


@pytest.mark.parametrize("given", ["gone.yaml", "empty"])
def test_a_file_that_is_not_there_is_one_sentence(agent: Conduct, tmp_path: Path, given: str) -> None:
    (tmp_path / "empty").mkdir()
    said = agent("apply", "-f", tmp_path / given)
    assert (said.code, said.err.count("\n")) == (1, 1)
    assert given in said.err


def test_many_documents_go_in_requests_that_the_agent_takes() -> None:
    documents = [{"kind": "UserProgram", "spec": {"config": {"text": "x" * 1000}}, "n": n} for n in range(500)]
    cut = list(batches(documents))
    assert [document for batch in cut for document in batch] == documents
    assert 2 < len(cut) < 5


@pytest.mark.parametrize("command", ["apply", "diff", "delete"])
def test_what_never_ends_is_read_no_further_than_a_manifest_may_be(agent: Conduct, command: str) -> None:
    said = agent(command, "-f", "/dev/zero")
    assert (said.code, said.err) == (1, "conductor: /dev/zero: longer than 256 KiB: apply it in parts\n")
