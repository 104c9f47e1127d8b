"""Messages and words say the same: there and back again, and unknown numbers are errors."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conductor.api import wire
from conductor.api.wire.kernel import attach_words, bytecode_words
from conductor.errors import InvalidSpec
from conductor.model.agent import AgentInfo, Change, LogLine, WatchEvent, WatchType
from conductor.model.grants import Access, MapGrant
from conductor.model.ids import LinkId, Name, ProgramId
from conductor.model.kernel import (
    BuiltinObject,
    Direction,
    ImageObject,
    InterfaceSelector,
    KernelFunctionSpec,
    KernelFunctionStatus,
    KernelProgramSpec,
    KernelType,
    KprobeLink,
    Link,
    LinkStatus,
    PathObject,
    PullPolicy,
    TcxLink,
    TracepointLink,
    UprobeLink,
    XdpLink,
)
from conductor.model.manifest import manifest_of, parse_manifest
from conductor.model.program import BuiltinSource, Limits, Source, UserProgramSpec, WasmSource
from conductor.model.status import Condition, Cost, KernelStatus, MapStatus, ProgramStatus, State, StreamCost
from conductor.proto.agent import v1 as pb

DIGEST = f"sha256:{'0a' * 32}"
NAMES = st.from_regex(r"[a-z0-9]([-_.a-z0-9]{0,61}[a-z0-9])?", fullmatch=True).map(Name)
MAPS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.]{0,62}", fullmatch=True)
TEXT = st.text(st.characters(exclude_categories=["C", "Zl", "Zp", "Zs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT.filter(bool), inner, max_size=3),
    max_leaves=8,
)
SOURCES = st.one_of(
    NAMES.map(lambda name: BuiltinSource(name=name)),
    st.sampled_from([PathObject(path="/x/y.wasm"), PathObject(path="", digest=DIGEST)]).map(
        lambda location: WasmSource(location=location)
    ),
    st.sampled_from(PullPolicy).map(
        lambda policy: WasmSource(location=ImageObject(url="reg.example/a:1", pull_policy=policy))
    ),
)
GRANTS = st.lists(
    st.builds(MapGrant, name=MAPS, kernel_program=NAMES, map=MAPS, access=st.sampled_from(Access)),
    max_size=4,
    unique_by=lambda grant: grant.name,
).map(tuple)
SPECS = st.builds(
    UserProgramSpec,
    name=NAMES,
    source=SOURCES,
    maps=GRANTS,
    config=st.dictionaries(TEXT.filter(bool), JSON, max_size=4),
    limits=st.builds(Limits, memory=st.integers(1 << 16, 1 << 30), cpu=st.sampled_from([0.1, 0.5, 2.0])),
    metadata=st.dictionaries(TEXT.filter(bool), TEXT, max_size=4),
)
RUNNING = Condition(state=State.RUNNING, reason="Ok", message="fine", since=1_700_000_000.125)


@settings(deadline=None)
@given(SPECS)
def test_wishes_survive_the_wire_and_the_disk(spec: UserProgramSpec) -> None:
    sent = pb.LoadRequest().parse(bytes(wire.spec_to_wire(spec)))
    received = wire.spec_from_wire(sent)
    assert received == spec
    assert parse_manifest(manifest_of(received), unknown=[]) == spec


@settings(deadline=None)
@given(SPECS, st.sampled_from(State), st.sampled_from(Source), st.integers(0, 9))
def test_statuses_survive_the_wire(spec: UserProgramSpec, state: State, source: Source, restarts: int) -> None:
    maps = tuple(
        MapStatus(name=g.name, kernel_program=g.kernel_program, map=g.map, access=g.access, program_id=ProgramId(i + 1))
        for i, g in enumerate(spec.maps)
    )
    condition = replace(RUNNING, state=state)
    status = ProgramStatus(
        spec=spec, source=source, condition=condition, restarts=restarts, generation=3, maps=maps, digest=DIGEST
    )
    assert wire.status_from_wire(pb.ProgramInfo().parse(bytes(wire.status_to_wire(status)))) == status


def test_a_grant_that_leaves_its_access_open_goes_the_way_of_old_clients() -> None:
    open_ = MapGrant(name="m", kernel_program=Name("k"), map="m", as_needed=True)
    spec = UserProgramSpec(name=Name("a"), source=BuiltinSource(name="a"), maps=(open_,))
    sent = wire.spec_to_wire(spec)
    assert (sent.ebpf_maps, sent.maps) == ({"m": "k"}, [])
    assert wire.spec_from_wire(sent) == spec
    with pytest.raises(InvalidSpec, match=r"maps\[0\].access: m is map n there"):
        wire.spec_to_wire(replace(spec, maps=(replace(open_, map="n"),)))


def test_a_map_whose_kernel_program_is_away_has_no_program_id() -> None:
    away = MapStatus(name="m", kernel_program=Name("k"), map="m", access=Access.READ)
    spec = UserProgramSpec(name=Name("a"), source=BuiltinSource(name="a"))
    status = ProgramStatus(spec=spec, source=Source.GRPC, condition=RUNNING, maps=(away,))
    assert wire.status_to_wire(status).ebpf_maps == {}
    assert wire.status_from_wire(wire.status_to_wire(status)).maps == (away,)


def test_maps_that_came_along_are_no_grants() -> None:
    own = MapStatus(name="m", kernel_program=Name("k"), map="m", access=Access.READ, program_id=ProgramId(3))
    spec = UserProgramSpec(name=Name("a"), source=BuiltinSource(name="a"))
    sent = wire.status_to_wire(ProgramStatus(spec=spec, source=Source.GRPC, condition=RUNNING, maps=(own,)))
    told = wire.status_from_wire(sent)
    assert (told.spec, told.maps) == (spec, (own,))
    assert wire.spec_from_wire(pb.LoadRequest(name="a", maps=sent.maps)) == spec


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.LoadRequest(), "name"),
        (pb.LoadRequest(name="../x"), "name"),
        (pb.LoadRequest(name="a", program_type=2), "program_type"),
        (pb.LoadRequest(name="a", builtin="B!"), "builtin"),
        (pb.LoadRequest(name="a", config="[]"), "config"),
        (pb.LoadRequest(name="a", config="{"), "config"),
        (pb.LoadRequest(name="a", config='{"a":1,"a":2}'), "config"),
        (pb.LoadRequest(name="a", config='{"a":NaN}'), "config"),
        (pb.LoadRequest(name="a", config='{"a":"\\ud800"}'), "config.a"),
        (pb.LoadRequest(name="a", config='{"a":1e999}'), "config.a"),
        (pb.LoadRequest(name="a", config=f'{{"a":{"9" * 5000}}}'), "config"),
        (pb.LoadRequest(name="a", config='{"a":' + "[" * 20_000), "config"),
        (pb.LoadRequest(name="a", config='{"a":"' + "x" * 70_000 + '"}'), "config"),
        (pb.LoadRequest(name="a", metadata={"": "x"}), "metadata"),
        (pb.LoadRequest(name="a", metadata={"k": "a\x1b[2J"}), "metadata.k"),
        (pb.LoadRequest(name="a", metadata={"k": "x" * 2000}), "metadata.k"),
        (pb.LoadRequest(name="a", metadata={f"k{i}": "" for i in range(65)}), "metadata"),
        (pb.LoadRequest(name="a", metadata={"interval": "soon"}), "metadata.interval"),
        (pb.LoadRequest(name="a", ebpf_maps={"m/../x": "k"}), "ebpf_maps.m/../x"),
        (pb.LoadRequest(name="a", ebpf_maps={"..": "k"}), "ebpf_maps..."),
        (pb.LoadRequest(name="a", ebpf_maps={"m": "K 1"}), "ebpf_maps.m"),
        (pb.LoadRequest(name="a", maps=[pb.MapGrant(name="m", kernel_program="k", access=3)]), "maps[0].access"),
        (pb.LoadRequest(name="a", maps=[pb.MapGrant(name="m", kernel_program="")]), "maps[0].kernel_program"),
        (pb.LoadRequest(name="a", maps=[pb.MapGrant(name="m", kernel_program="k", map="a/b")]), "maps[0].map"),
        (
            pb.LoadRequest(name="a", ebpf_maps={"m": "k"}, maps=[pb.MapGrant(name="m", kernel_program="k")]),
            "maps[1].name",
        ),
        (pb.LoadRequest(name="a", limits={"memory": "lots"}), "limits.memory"),
        (pb.LoadRequest(name="a", limits={"colour": "1"}), "limits.colour"),
        (pb.LoadRequest(name="a", bytecode=pb.BytecodeLocation(file="/x")), "bytecode"),
        (pb.LoadRequest(name="a", program_type=1), "bytecode"),
        (pb.LoadRequest(name="a", program_type=1, builtin="b"), "builtin"),
        (pb.LoadRequest(name="a", program_type=1, bytecode=pb.BytecodeLocation(file="x.wasm")), "bytecode.file"),
        (pb.LoadRequest(name="a", program_type=1, bytecode=pb.BytecodeLocation(digest="sha256:0")), "bytecode.digest"),
        (
            pb.LoadRequest(name="a", program_type=1, bytecode=pb.BytecodeLocation(image=pb.BytecodeImage(url=""))),
            "bytecode.image.url",
        ),
        (
            pb.LoadRequest(
                name="a",
                program_type=1,
                bytecode=pb.BytecodeLocation(image=pb.BytecodeImage(url="r/x", image_pull_policy=3)),
            ),
            "bytecode.image.image_pull_policy",
        ),
    ],
)
def test_malformed_wishes_are_refused_by_the_field(request_: pb.LoadRequest, field: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        wire.spec_from_wire(request_)
    assert refused.value.field == field
    assert len(str(refused.value)) < 500


def test_credentials_go_no_further_than_the_message() -> None:
    image = pb.BytecodeImage(url="reg.example/a:1", username="me", password="hunter2")
    spec = wire.spec_from_wire(pb.LoadRequest(name="a", program_type=1, bytecode=pb.BytecodeLocation(image=image)))
    assert "hunter2" not in repr(spec)
    assert b"hunter2" not in bytes(wire.spec_to_wire(spec))


def test_lists_are_filtered_by_a_type_that_exists() -> None:
    assert wire.filter_from_wire(pb.ListRequest()) == (None, {})
    assert wire.filter_from_wire(pb.ListRequest(program_type=0, match_metadata={"a": "b"})) == (0, {"a": "b"})
    with pytest.raises(InvalidSpec, match="program_type: 2 is unknown: 0 Builtin, 1 Wasm"):
        wire.filter_from_wire(pb.ListRequest(program_type=2))


def test_update_strategies() -> None:
    assert wire.strategy_from_wire(pb.UpdateStrategy()) == (True, True)
    assert wire.strategy_from_wire(pb.UpdateStrategy(type="Recreate", no_rollback=True)) == (False, False)
    with pytest.raises(InvalidSpec, match=r"strategy\.type"):
        wire.strategy_from_wire(pb.UpdateStrategy(type="overlap"))


@pytest.mark.parametrize(
    "message",
    [pb.ProgramInfo(name="a", state=9, source="grpc"), pb.ProgramInfo(name="a", state=2, source="moon")],
)
def test_answers_with_unknown_numbers_are_refused(message: pb.ProgramInfo) -> None:
    with pytest.raises(InvalidSpec, match="is unknown"):
        wire.status_from_wire(message)


def test_what_the_agent_tells_survives_the_wire() -> None:
    info = AgentInfo(
        version="1", node="n", features=("a", "b"), started=5.25, reasons=("x",), pid=7, road_connected=True
    )
    assert wire.info_from_wire(wire.info_to_wire(info)) == info
    line = LogLine(program=Name("a"), time=3.5, level="info", message="ü")
    assert wire.log_line_from_wire(wire.log_line_to_wire(line)) == line
    change = Change(kind="UserProgram", name="a", action="created", diff="+x\n")
    assert wire.change_from_wire(wire.change_to_wire(change)) == change
    synced = WatchEvent(type=WatchType.SYNCED)
    assert wire.watch_event_from_wire(wire.watch_event_to_wire(synced)) == synced
    with pytest.raises(InvalidSpec, match="BOOKMARK"):
        wire.watch_event_from_wire(pb.WatchEvent(type="BOOKMARK"))


def test_unknown_costs_stay_unknown() -> None:
    books = {"execs": StreamCost(taken=3, delivered=1, dropped={"full": 2}, kernel_losses=0)}
    known = Cost(
        name=Name("a"), memory_bytes=0, kernel_run_seconds=0.0, kernel_runs=0, events_taken=3, events_delivered=1,
        events_dropped={"full": 2}, kernel_losses=0, streams=books,
    )  # fmt: skip
    unknown = Cost(name=Name("b"), cpu_seconds=1.5, events_taken=3, streams={"x": StreamCost(taken=3, queued=3)})
    message = wire.usage_to_wire([known, unknown], {Name("a"): State.RUNNING, Name("b"): State.FAILED}, 8.0)
    usage = wire.usage_from_wire(pb.UsageResponse().parse(bytes(message)))
    assert usage.costs == (known, unknown)
    assert (usage.time, usage.states[Name("b")]) == (8.0, State.FAILED)


@pytest.mark.parametrize(
    ("link", "words"),
    [
        (TracepointLink(name="tcp/tcp_probe"), "tcp/tcp_probe"),
        (KprobeLink(function="tcp_connect", offset=16), "tcp_connect+0x10"),
        (UprobeLink(target="/bin/bash", function="readline"), "/bin/bash:readline"),
        (XdpLink(interfaces=InterfaceSelector(primary=True)), "eth0"),
        (TcxLink(interfaces=InterfaceSelector(primary=True), direction=Direction.INGRESS), "eth0 ingress"),
    ],
)
def test_links_are_told_in_words(link: Link, words: str) -> None:
    assert attach_words(link, "eth0") == words


def test_kernel_programs_survive_the_wire_as_a_caller_sees_them() -> None:
    function = KernelFunctionStatus(
        name="f",
        type=KernelType.TRACEPOINT,
        id=ProgramId(7),
        links=(LinkStatus(id=LinkId(3), attach=TracepointLink(name="a/b")),),
        runs=0,
    )
    spec = KernelProgramSpec(
        name=Name("k"),
        bytecode=BuiltinObject(name="service_map"),
        programs=(KernelFunctionSpec(name="f", type=KernelType.TRACEPOINT),),
        metadata={"a": "b"},
    )
    status = KernelStatus(
        spec=spec, source=Source.FILE, condition=RUNNING, functions=(function,), needed_by=(Name("u"),), digest=DIGEST
    )
    told = wire.kernel_from_wire(pb.KernelInfo().parse(bytes(wire.kernel_to_wire(status))))
    assert (told.name, told.condition, told.source, told.bytecode) == ("k", RUNNING, Source.FILE, "builtin:service_map")
    assert (told.needed_by, told.metadata, told.digest) == (("u",), {"a": "b"}, DIGEST)
    (seen,) = told.functions
    assert (seen.id, seen.type, seen.links[0].attach, seen.run_seconds, seen.runs) == (7, "TracePoint", "a/b", None, 0)
    assert bytecode_words(PathObject(path="", digest=DIGEST)) == DIGEST
