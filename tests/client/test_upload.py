"""Local files reach the agent in chunks and are kept by digest."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from conductor.client import Agent
from conductor.errors import BudgetExceeded, NotFound, NotYet, ObjectUnreadable
from conductor.model.kernel import PathObject
from tests.api.conftest import House, tell


def test_a_file_larger_than_a_message_is_kept_by_its_digest(tmp_path: Path) -> None:
    data = os.urandom(5 << 20)
    path = tmp_path / "x.wasm"
    path.write_bytes(data)

    async def story(here: House, agent: Agent) -> None:
        digest = await agent.upload(path)
        assert digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
        assert digest == await agent.upload(data)
        kept, _ = here.objects.path_of(PathObject(path="", digest=digest))
        assert Path(kept).read_bytes() == data  # noqa: ASYNC240 -- a test's own file

    tell(story)


def test_uploads_are_bounded_and_leave_nothing() -> None:
    async def story(here: House, agent: Agent) -> None:
        with pytest.raises(BudgetExceeded, match="8 MiB"):
            await agent.upload(bytes(9 << 20))
        assert here.objects.collect(()) == ()
        empty = f"sha256:{hashlib.sha256(bytes(9 << 20)).hexdigest()}"
        with pytest.raises(NotFound):
            here.objects.path_of(PathObject(path="", digest=empty))
        await agent.info()

    tell(story)


def test_a_stream_of_bytes_can_be_sent() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"a", b"", b"bc"):
            yield piece

    async def story(_: House, agent: Agent) -> None:
        assert await agent.upload(pieces()) == f"sha256:{hashlib.sha256(b'abc').hexdigest()}"

    tell(story)


def test_a_file_that_is_not_there_is_refused_here(tmp_path: Path) -> None:
    async def story(_: House, agent: Agent) -> None:
        with pytest.raises(ObjectUnreadable, match=r"none\.wasm: No such file"):
            await agent.load("x", wasm=tmp_path / "none.wasm")
        await agent.info()

    tell(story)


def test_passwords_are_in_no_log_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async def story(_: House, agent: Agent) -> None:
        with caplog.at_level(logging.DEBUG, logger="conductor"), pytest.raises(NotYet) as refused:
            await agent.load("x", wasm="reg.example/x:1", credentials=("me", "hunter2"))
        assert "hunter2" not in caplog.text + repr(refused.value)

    tell(story)
