"""Clients of the first implementation keep working: their messages by hand, fields 1 to 6 only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from grpclib.const import Status

from conductor.model.ids import Name
from conductor.model.status import State
from tests.api.conftest import House, house
from tests.api.raw import Answer, ask, framed, record, text

BUILTIN, WASM = b"\x18\x00", b"\x18\x01"
NAME = text(2, "service_map")


def pair(number: int, key: str, value: str) -> bytes:
    """Encode one entry of a map<string, string>."""
    return record(number, text(1, key) + text(2, value))


def tell(story: Callable[[House], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(30), house() as here:
            await story(here)

    asyncio.run(whole())


async def load(here: House, *fields: bytes) -> Answer:
    return await ask(here.socket, "Load", framed(b"".join(fields)))


def test_load_of_a_builtin_is_answered_in_their_fields() -> None:
    async def story(here: House) -> None:
        answer = await load(here, NAME, BUILTIN, pair(5, "interval", "15"))
        assert (answer.status, answer.headers[":status"]) == (Status.OK, "200")
        # info=1 { name=1 "service_map", state=3 Running(2), metadata=6 }; type 0 is left out, as proto3 does
        assert answer.body.startswith(b"\x0a" + bytes([len(answer.body) - 2]) + text(1, "service_map") + b"\x18\x02")
        assert pair(6, "interval", "15") in answer.body
        assert here.programs.get(Name("service_map")).spec.config == {"interval": 15}

    tell(story)


def test_metadata_interval_counts_only_without_config() -> None:
    async def story(here: House) -> None:
        await load(here, NAME, pair(5, "interval", "15"), text(7, '{"interval": 2}'))
        assert here.programs.get(Name("service_map")).spec.config == {"interval": 2}

    tell(story)


def test_a_bad_interval_is_refused_by_its_name() -> None:
    async def story(here: House) -> None:
        for bad in ("soon", "", "1}", "[1]", "true", "1e999", "NaN"):
            answer = await load(here, NAME, pair(5, "interval", bad))
            assert (answer.status, answer.message.split(":")[0]) == (Status.INVALID_ARGUMENT, "metadata.interval"), bad

    tell(story)


def test_maps_are_granted_by_map_and_kernel_program() -> None:
    async def story(here: House) -> None:
        answer = await load(here, NAME, pair(4, "CONNECTIONS", "sock_conn_trace"))
        (grant,) = here.programs.get(Name("service_map")).spec.maps
        assert (grant.name, grant.kernel_program, grant.map) == ("CONNECTIONS", "sock_conn_trace", "CONNECTIONS")
        # ebpf_maps=5 { "CONNECTIONS": 100 }
        assert record(5, text(1, "CONNECTIONS") + b"\x10\x64") in answer.body

    tell(story)


def test_a_kernel_function_may_stand_for_its_program() -> None:
    async def story(here: House) -> None:
        await load(here, NAME, pair(4, "CONNECTIONS", "_Sock_conn_trac_"))
        assert here.programs.get(Name("service_map")).spec.maps[0].kernel_program == "_Sock_conn_trac_"

    tell(story)


def test_get_list_unload() -> None:
    async def story(here: House) -> None:
        await load(here, NAME, pair(5, "team", "net"))
        got = await ask(here.socket, "Get", framed(text(1, "service_map")))
        listed = await ask(here.socket, "List", framed(b"\x08\x00" + pair(3, "team", "net")))
        # results=3 { info=1 {…} }: the same info, one level deeper
        assert listed.body == b"\x1a" + bytes([len(got.body)]) + got.body
        none = await ask(here.socket, "List", framed(b"\x08\x01"))
        assert none.body == b""
        gone = await ask(here.socket, "Unload", framed(text(1, "service_map")))
        assert (gone.status, gone.body) == (Status.OK, b"")
        assert here.programs.observed() == ()

    tell(story)


def test_states_keep_their_numbers() -> None:
    assert [(s.name, s.value) for s in State][:5] == [
        ("UNINITIALIZED", 0),
        ("INITIALIZED", 1),
        ("RUNNING", 2),
        ("STOPPED", 3),
        ("FAILED", 4),
    ]


def test_refusals_have_statuses_and_sentences() -> None:
    async def story(here: House) -> None:
        nobody = await ask(here.socket, "Get", framed(text(1, "nobody")))
        assert (nobody.status, nobody.reason) == (Status.NOT_FOUND, "NotFound")
        image = record(1, text(1, "reg.example/x:1") + b"\x10\x01")
        wasm = await load(here, record(1, image), text(2, "w"), WASM)
        assert wasm.status is Status.UNIMPLEMENTED
        pulled = await ask(here.socket, "PullBytecode", framed(image))
        assert pulled.status is Status.NOT_FOUND
        assert "reg.example/x:1" in pulled.message

    tell(story)
