"""bpfman's bytes to our words and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from conductor.errors import InvalidSpec
from conductor.loader.hooks import (
    Hook,
    KprobeHook,
    TcHook,
    TcxHook,
    TracepointHook,
    TracingHook,
    UprobeHook,
    XdpHook,
)
from conductor.loader.records import KernelFacts, LinkRecord, LoadRecord, ProgramRecord
from conductor.loader.wire import (
    filter_from_wire,
    image_from_wire,
    image_of_load,
    info_to_wire,
    kernel_to_wire,
    load_from_wire,
    rfc3339,
)
from conductor.loader.wire_hooks import hook_from_wire
from conductor.model.ids import LinkId, ProgramId
from conductor.model.kernel import Direction, KernelFunctionSpec, KernelType, PullPolicy
from conductor.proto.bpfman import v1 as pb

FACTS = KernelFacts(name="count_syscalls", tag="ab" * 8, loaded_at="2026-01-01T00:00:00Z", map_ids=(3, 4))
PROGRAM = ProgramRecord(id=ProgramId(183), name="count_syscalls", type=KernelType.TRACEPOINT, kernel=FACTS)
LOAD = LoadRecord(
    key=ProgramId(183), boot_id="now", path="/x.o", programs=(PROGRAM,), metadata={"owner": "exp", "app": "a"}
)


def golden(text: str) -> bytes:
    return bytes.fromhex(text)


def test_a_load_as_the_go_client_writes_it() -> None:
    data = golden("0a061a042f782e6f2a0c0a056f776e657212036578704a120a0e636f756e745f73797363616c6c731002")
    wish = load_from_wire(pb.LoadRequest().parse(data))
    assert (wish.path, wish.metadata, wish.map_owner) == ("/x.o", {"owner": "exp"}, None)
    assert wish.programs == (KernelFunctionSpec(name="count_syscalls", type=KernelType.TRACEPOINT),)


def test_an_image_load_as_the_go_client_writes_it() -> None:
    data = golden("0a1912170a133132372e302e302e313a353030302f613a763110014a030a0170")
    request = pb.LoadRequest().parse(data)
    image = image_of_load(request)
    assert image is not None
    assert image_from_wire(image) == ("127.0.0.1:5000/a:v1", PullPolicy.IF_NOT_PRESENT, None)
    assert load_from_wire(request).path == ""


def test_an_attach_as_the_go_client_writes_it() -> None:
    data = golden("08b701121a1a180a167261775f73797363616c6c732f7379735f656e746572")
    request = pb.AttachRequest().parse(data)
    assert (request.id, hook_from_wire(request)) == (183, TracepointHook(name="raw_syscalls/sys_enter"))
    assert bytes(pb.AttachResponse(link_id=1)) == golden("0801")


def test_a_list_as_the_go_client_writes_it() -> None:
    matches = filter_from_wire(pb.ListRequest().parse(golden("10011a0c0a056f776e65721203657870")))
    assert matches(LOAD, PROGRAM)
    assert not matches(LoadRecord(key=ProgramId(1), boot_id="", path="", programs=(PROGRAM,)), PROGRAM)


def test_what_a_program_looks_like_on_the_wire() -> None:
    """Written out by the tables of the protocol, field by field."""
    links = [LinkRecord(id=LinkId(1), hook=TracepointHook(name="a/b"))]
    info = info_to_wire(LOAD, PROGRAM, links=links, map_pins=Path("/m/183"), used_by=[ProgramId(183)])
    assert bytes(info) == (
        b"\x0a\x0ecount_syscalls"
        b"\x12\x06\x1a\x04/x.o"
        b"\x1a\x01\x01"
        b"\x32\x06/m/183"
        b"\x3a\x03183"
        b"\x42\x0c\x0a\x05owner\x12\x03exp\x42\x08\x0a\x03app\x12\x01a"
    )
    assert bytes(kernel_to_wire(PROGRAM)) == (
        b"\x08\xb7\x01\x12\x0ecount_syscalls\x18\x02\x22\x142026-01-01T00:00:00Z\x2a\x10"
        + b"ab" * 8
        + b"\x3a\x02\x03\x04"
    )


def test_moments_are_in_utc_and_whole_seconds() -> None:
    assert rfc3339(1_767_225_599.99) == "2025-12-31T23:59:59Z"


@pytest.mark.parametrize(
    ("info", "hook"),
    [
        (
            {"xdp_attach_info": pb.XdpAttachInfo(iface="e", priority=5, proceed_on=[2, 31], netns="/n")},
            XdpHook(interface="e", priority=5, netns="/n"),
        ),
        (
            {"tc_attach_info": pb.TcAttachInfo(iface="e", direction="egress", proceed_on=[3, 30])},
            TcHook(interface="e", direction=Direction.EGRESS),
        ),
        (
            {"tcx_attach_info": pb.TcxAttachInfo(iface="e", direction="ingress", priority=1000)},
            TcxHook(interface="e", direction=Direction.INGRESS, priority=1000),
        ),
        ({"kprobe_attach_info": pb.KprobeAttachInfo(fn_name="f", offset=4)}, KprobeHook(function="f", offset=4)),
        (
            {"uprobe_attach_info": pb.UprobeAttachInfo(target="libc", fn_name="f", pid=3, container_pid=4)},
            UprobeHook(target="libc", function="f", pid=3, container_pid=4),
        ),
        (
            {"uprobe_attach_info": pb.UprobeAttachInfo(target="/x", offset=64)},
            UprobeHook(target="/x", offset=64),
        ),
        ({"fentry_attach_info": pb.FentryAttachInfo()}, TracingHook(kind="fentry")),
        ({"fexit_attach_info": pb.FexitAttachInfo(metadata={"a": "b"})}, TracingHook(kind="fexit")),
        ({"lsm_attach_info": pb.LsmAttachInfo()}, TracingHook(kind="lsm")),
    ],
)
def test_hooks(info: dict[str, object], hook: Hook) -> None:
    request = pb.AttachRequest().parse(bytes(pb.AttachRequest(id=1, attach=pb.AttachInfo(**info))))  # type: ignore[arg-type]
    assert hook_from_wire(request) == hook


def test_targets_that_are_fixed_at_load() -> None:
    request = pb.LoadRequest(
        bytecode=pb.BytecodeLocation(file="/x.o"),
        info=[
            pb.LoadInfo(
                name="a",
                program_type=pb.BpfmanProgramType(5),
                info=pb.ProgSpecificInfo(fentry_load_info=pb.FentryLoadInfo(fn_name="f")),
            ),
            pb.LoadInfo(
                name="b",
                program_type=pb.BpfmanProgramType(8),
                info=pb.ProgSpecificInfo(lsm_load_info=pb.LsmLoadInfo(hook_name="file_open")),
            ),
        ],
    )
    assert [function.attach_to for function in load_from_wire(request).programs] == ["f", "file_open"]


def test_a_target_of_another_type_is_refused() -> None:
    specific = pb.ProgSpecificInfo(lsm_load_info=pb.LsmLoadInfo(hook_name="file_open"))
    info = pb.LoadInfo(name="a", program_type=pb.BpfmanProgramType(5), info=specific)
    with pytest.raises(InvalidSpec, match="lsm_load_info does not belong to a program of type FEntry"):
        load_from_wire(pb.LoadRequest(bytecode=pb.BytecodeLocation(file="/x.o"), info=[info]))
