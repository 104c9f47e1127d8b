"""Garbage at every door: always a status of our list, and the server lives on."""

from __future__ import annotations

from typing import Any

from grpclib.const import Status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conductor.api.calls.programs import ProgramCalls
from conductor.client import Agent
from conductor.proto.agent import v1 as pb
from tests.api.conftest import House, tell
from tests.api.raw import ask, framed, talking

METHODS = {path.rpartition("/")[2]: handler for path, handler in ProgramCalls().__mapping__().items()}
ALLOWED = {
    Status.OK,
    Status.INVALID_ARGUMENT,
    Status.NOT_FOUND,
    Status.ALREADY_EXISTS,
    Status.FAILED_PRECONDITION,
    Status.PERMISSION_DENIED,
    Status.RESOURCE_EXHAUSTED,
    Status.UNAVAILABLE,
    Status.DEADLINE_EXCEEDED,
    Status.UNIMPLEMENTED,
}
FINITE = sorted(set(METHODS) - {"Watch"})
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


@st.composite
def near_messages(draw: st.DrawFn) -> bytes:
    """Bytes that look like protobuf until one looks closely."""
    parts = []
    for _ in range(draw(st.integers(0, 6))):
        number, wire = draw(st.integers(0, 20)), draw(st.sampled_from([0, 0, 1, 2, 2, 2, 3, 5, 7]))
        body = draw(
            st.binary(max_size=12) | st.sampled_from([b"service_map", b'{"interval":1}', b"\xff\xfe", b"[" * 90])
        )
        size = draw(st.sampled_from([len(body), len(body), len(body) + 1, 127]))
        parts.append(bytes([(number << 3 | wire) & 0x7F]) + (bytes([size]) if wire == 2 else b"") + body)
    return b"".join(parts)


@QUICK
@given(messages=st.lists(st.tuples(st.sampled_from(FINITE), near_messages() | st.binary(max_size=64)), max_size=30))
def test_garbage_messages_get_a_status_of_our_list(messages: list[tuple[str, bytes]]) -> None:
    async def story(here: House, agent: Agent) -> None:
        for method, message in messages:
            answer = await ask(here.socket, method, framed(message), [("grpc-timeout", "2S")])
            assert answer.status in ALLOWED, (method, message, answer.message)
            assert answer.message or answer.status is Status.OK
        await agent.info()

    tell(story)


@QUICK
@given(data=st.binary(max_size=40), method=st.sampled_from(sorted(METHODS)))
def test_garbage_frames_get_a_status_of_our_list(data: bytes, method: str) -> None:
    async def story(here: House, agent: Agent) -> None:
        headers = [("grpc-timeout", "300m")]
        assert (await ask(here.socket, method, data, headers)).status in ALLOWED
        await agent.info()

    tell(story)


@settings(QUICK, max_examples=30)
@given(data=st.binary(max_size=200))
def test_bytes_that_are_no_http2_harm_only_their_connection(data: bytes) -> None:
    async def story(here: House, agent: Agent) -> None:
        async with talking(here.socket) as raw:
            raw.raw(data)
        await agent.info()

    tell(story)


ODD = st.text(max_size=20) | st.sampled_from(["service_map", "slow", "../x", "a" * 64, '{"interval":0}', "9" * 30])
PAIRS = st.dictionaries(ODD, ODD, max_size=3)
NUMBERS = st.integers(0, 4) | st.sampled_from([2**31, 2**32 - 1])
REQUESTS = st.one_of(
    st.tuples(
        st.just("Load"),
        st.builds(
            pb.LoadRequest,
            name=ODD,
            program_type=NUMBERS,
            builtin=ODD,
            config=ODD,
            ebpf_maps=PAIRS,
            metadata=PAIRS,
            limits=PAIRS,
            maps=st.lists(st.builds(pb.MapGrant, name=ODD, kernel_program=ODD, map=ODD, access=NUMBERS), max_size=2),
            bytecode=st.builds(pb.BytecodeLocation, file=ODD),
        ),
    ),
    st.tuples(st.just("List"), st.builds(pb.ListRequest, program_type=NUMBERS, match_metadata=PAIRS)),
    st.tuples(st.just("Apply"), st.builds(pb.ApplyRequest, manifest=ODD, dry_run=st.booleans())),
    st.tuples(st.just("Logs"), st.builds(pb.LogsRequest, name=ODD, tail=NUMBERS)),
    st.tuples(st.sampled_from(["Start", "Stop", "GetKernel", "KernelLog"]), st.builds(pb.NameRequest, name=ODD)),
)


@QUICK
@given(requests=st.lists(REQUESTS, max_size=20))
def test_whole_messages_of_odd_values_get_a_status_of_our_list(requests: list[tuple[str, Any]]) -> None:
    async def story(here: House, agent: Agent) -> None:
        for method, request in requests:
            answer = await ask(here.socket, method, framed(bytes(request)), [("grpc-timeout", "2S")])
            assert answer.status in ALLOWED, (method, request, answer.message)
        await agent.info()

    tell(story)
