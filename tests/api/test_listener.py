"""The agent's socket: its mode, who may take it over, what is left alone."""

from __future__ import annotations

import asyncio
import socket
import stat
from pathlib import Path

import pytest

from conductor.client import Agent
from conductor.errors import AddressInUse, AgentUnreachable, InvalidConfig
from tests.api.conftest import house

HEALTH = (":path", "/grpc.health.v1.Health/Check")


def test_the_socket_is_0660_and_goes_with_its_server(tmp_path: Path) -> None:
    path = tmp_path / "run" / "agent.sock"

    async def whole() -> None:
        async with house(socket=path):
            found = path.stat()
            assert stat.S_ISSOCK(found.st_mode)
            assert stat.S_IMODE(found.st_mode) == 0o660

    asyncio.run(whole())
    assert not path.exists()


def test_a_dead_socket_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    async def whole() -> None:
        async with house(socket=path), Agent.connect(path) as agent:
            await agent.info()

    asyncio.run(whole())


def test_a_living_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"

    async def whole() -> None:
        async with house(socket=path):
            with pytest.raises(AddressInUse, match=r"another agent serves here.*--agent-socket"):
                async with house(socket=path):
                    pass
            async with Agent.connect(path) as agent:
                await agent.info()

    asyncio.run(whole())


def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    path.write_text("mine")

    async def whole() -> None:
        async with house(socket=path):
            pass

    with pytest.raises(AddressInUse, match="no socket"):
        asyncio.run(whole())
    assert path.read_text() == "mine"


def test_a_socket_of_somebody_else_is_not_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"

    async def whole() -> None:
        async with house(socket=path):
            path.unlink()
            path.write_text("theirs")

    asyncio.run(whole())
    assert path.read_text() == "theirs"


def test_a_path_too_long_is_refused_by_its_length(tmp_path: Path) -> None:
    async def whole() -> None:
        async with house(socket=tmp_path / ("x" * 108)):
            pass

    with pytest.raises(InvalidConfig, match="107 bytes"):
        asyncio.run(whole())


def test_no_agent_means_unreachable_with_the_way_out(tmp_path: Path) -> None:
    async def whole() -> None:
        async with Agent.connect(tmp_path / "none.sock"):
            pass

    with pytest.raises(AgentUnreachable, match=r"none\.sock.*conductor up"):
        asyncio.run(whole())
