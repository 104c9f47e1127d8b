"""Messages that are too large, cut short, missing or oddly wrapped: each gets its status."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from grpclib.const import Cardinality, Status

from conductor.api import calls
from conductor.api.calls.programs import ProgramCalls
from conductor.client import Agent
from tests.api.conftest import House, house, tell
from tests.api.raw import ask, framed, talking, text

METHODS = {path.rpartition("/")[2]: handler for path, handler in ProgramCalls().__mapping__().items()}


def test_every_method_is_thrown_at() -> None:
    assert len(METHODS) == 22
    assert {m for m, h in METHODS.items() if h.cardinality is not Cardinality.UNARY_UNARY} == {
        "Watch",
        "Logs",
        "Upload",
    }


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_message_past_4_mib_is_refused_from_its_prefix(method: str) -> None:
    async def story(here: House, _: Agent) -> None:
        async with talking(here.socket) as raw:
            stream = raw.begin(method)
            raw.send(stream, b"\0" + (4 * 2**20 + 1).to_bytes(4, "big"))  # and never the rest
            async with asyncio.timeout(5):
                answer = await raw.answer(stream)
        assert (answer.status, answer.reason) == (Status.RESOURCE_EXHAUSTED, "MessageTooLarge")
        assert "4 MiB" in answer.message

    tell(story)


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"Upload"}))
@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "missing"),
        (b"\0\0", "cut short"),
        (b"\0\0\0\0\x09" + b"\x0a\x02", "cut short"),
        (framed(b"\x0a\x09short"), "cut short"),
        (b"\x02\0\0\0\0", "flag"),
    ],
)
def test_what_is_cut_short_or_missing_is_an_invalid_argument(method: str, data: bytes, word: str) -> None:
    async def story(here: House, _: Agent) -> None:
        answer = await ask(here.socket, method, data)
        if method not in {"Info", "ListKernel", "ListAvailable", "ListImages"} or word != "cut short" or len(data) < 8:
            assert word in answer.message
        assert (answer.status, answer.reason) == (Status.INVALID_ARGUMENT, "InvalidSpec")

    tell(story)


def test_bad_utf8_names_its_field() -> None:
    async def story(here: House, _: Agent) -> None:
        answer = await ask(here.socket, "Load", framed(b"\x12\x02\xff\xfe"))
        assert answer.status is Status.INVALID_ARGUMENT
        assert answer.message.startswith("name: no UTF-8")

    tell(story)


def test_compressed_messages_are_refused_with_a_sentence() -> None:
    async def story(here: House, _: Agent) -> None:
        answer = await ask(here.socket, "Info", b"\x01\0\0\0\0")
        assert answer.status is Status.UNIMPLEMENTED
        assert "plain" in answer.message

    tell(story)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("grpc-timeout", "soon")], Status.INVALID_ARGUMENT),
        ([(":path", "/agent.v1.agent/Nonsense")], Status.UNIMPLEMENTED),
        ([(":path", "/x")], Status.UNIMPLEMENTED),
        ([("grpc-timeout", "0S")], Status.DEADLINE_EXCEEDED),
        ([("x-odd", "ü" * 10), ("x-bin", "!!")], Status.OK),
    ],
)
def test_odd_headers(headers: list[tuple[str, str]], status: Status) -> None:
    async def story(here: House, _: Agent) -> None:
        answer = await ask(here.socket, "Info", framed(b""), headers)
        assert answer.status is status

    tell(story)


@pytest.mark.parametrize(("headers", "code"), [([("content-type", "text/html")], "415"), ([(":method", "GET")], "405")])
def test_what_is_no_grpc_gets_an_http_status(headers: list[tuple[str, str]], code: str) -> None:
    async def story(here: House, _: Agent) -> None:
        answer = await ask(here.socket, "Info", framed(b""), headers)
        assert (answer.headers[":status"], answer.status) == (code, None)

    tell(story)


def test_frames_of_unknown_types_and_empty_ones_are_ignored() -> None:
    async def whole() -> None:
        async with house() as here, asyncio.timeout(10), talking(here.socket) as raw:
            stream = raw.begin("Get")
            raw.raw(b"\x00\x00\x04\xfa\x00\x00\x00\x00\x00abcd")
            raw.h2.send_data(stream, b"")
            message = framed(text(1, "nobody"))
            raw.send(stream, message[:3])
            raw.h2.send_data(stream, b"")
            raw.send(stream, message[3:], end=True)
            assert (await raw.answer(stream)).status is Status.NOT_FOUND

    asyncio.run(whole())


def test_no_handler_knows_of_statuses() -> None:
    for path in Path(calls.__file__).parent.glob("*.py"):
        assert "grpclib" not in path.read_text(), path
