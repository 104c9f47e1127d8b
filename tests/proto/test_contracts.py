"""Published numbers never change, and the generated modules are those of the contracts."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

pytest.importorskip("grpc_tools", reason="grpcio-tools is missing: pip install grpcio-tools")

from tests.proto.contracts import PROTO, PUBLISHED, lines_of, protoc

WRITE = "python -m tests.proto.contracts"


def test_what_was_published_still_holds() -> None:
    gone = set(PUBLISHED.read_text().splitlines()) - set(lines_of())
    assert not gone, f"published and changed or removed since: {sorted(gone)}; give new meaning a new number"


def test_what_is_new_is_published() -> None:
    new = set(lines_of()) - set(PUBLISHED.read_text().splitlines())
    assert not new, f"not published yet: {sorted(new)}; if they are meant to last, run `{WRITE}`"


def test_the_first_implementations_numbers_are_published() -> None:
    published = PUBLISHED.read_text().splitlines()
    for line in (
        "agent.v1.LoadRequest.bytecode = 1 .agent.v1.BytecodeLocation",
        "agent.v1.LoadRequest.name = 2 string",
        "agent.v1.LoadRequest.program_type = 3 uint32",
        "agent.v1.LoadRequest.ebpf_maps = 4 repeated .agent.v1.LoadRequest.EbpfMapsEntry",
        "agent.v1.LoadRequest.metadata = 5 repeated .agent.v1.LoadRequest.MetadataEntry",
        "agent.v1.BytecodeLocation.image = 1 .agent.v1.BytecodeImage oneof location",
        "agent.v1.BytecodeLocation.file = 2 string oneof location",
        "agent.v1.BytecodeImage.password = 4 optional string",
        "agent.v1.ListResponse.results = 3 repeated .agent.v1.ListResult",
        "agent.v1.ListRequest.match_metadata = 3 repeated .agent.v1.ListRequest.MatchMetadataEntry",
        "agent.v1.ProgramInfo.ebpf_maps = 5 repeated .agent.v1.ProgramInfo.EbpfMapsEntry",
        "agent.v1.ProgramInfo.EbpfMapsEntry.value = 2 uint32",
        "agent.v1.GetResponse.info = 1 optional .agent.v1.ProgramInfo",
        "/agent.v1.agent/PullBytecode (.agent.v1.PullBytecodeRequest) returns (.agent.v1.PullBytecodeResponse)",
    ):
        assert line in published


def test_generated_modules_are_those_of_the_contracts(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    protoc(f"--python_betterproto_out={tmp_path}", env={**os.environ, "PATH": path})
    fresh = {str(p.relative_to(tmp_path)): p.read_text() for p in tmp_path.rglob("*.py") if p.stat().st_size}
    assert fresh
    stale = sorted(name for name, text in fresh.items() if (PROTO / name).read_text() != text)
    assert not stale, f"stale: {stale}; run `nox -s proto`"
