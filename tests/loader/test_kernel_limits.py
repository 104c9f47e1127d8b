"""What this kernel cannot do is said; where it can, it is done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from conductor.proto.bpfman import v1 as pb
from tests.loader.running import Client, Daemon

pytestmark = pytest.mark.kernel
Compiled = Callable[[str], Path]


@pytest.mark.parametrize(
    ("function", "type_", "specific"),
    [
        ("on_entry", 5, {"fentry_load_info": pb.FentryLoadInfo(fn_name="tcp_v4_connect")}),
        ("on_exit", 6, {"fexit_load_info": pb.FexitLoadInfo(fn_name="tcp_v4_connect")}),
    ],
)
def test_what_this_kernel_cannot_do_is_said(
    empty: Daemon, compiled: Compiled, function: str, type_: int, specific: dict[str, Any]
) -> None:
    """Where trampolines are refused the sentence says so; where they are not, the program loads."""

    async def wrong(client: Client) -> None:
        info = pb.LoadInfo(
            name=function,
            program_type=pb.BpfmanProgramType(type_),
            info=pb.ProgSpecificInfo(**specific),
        )
        request = pb.LoadRequest(bytecode=pb.BytecodeLocation(file=str(compiled("fentry"))), info=[info])
        try:
            (loaded,) = (await client.bpfman.load(request)).programs
        except GRPCError as error:
            assert error.status is Status.FAILED_PRECONDITION  # noqa: PT017
            assert function in str(error.message)  # noqa: PT017
        else:
            assert loaded.kernel_info.program_type == type_

    empty.ask(wrong)


def test_a_function_that_the_kernel_lacks_is_not_found(empty: Daemon, compiled: Compiled) -> None:
    async def wrong(client: Client) -> None:
        specific = pb.ProgSpecificInfo(fentry_load_info=pb.FentryLoadInfo(fn_name="tcp_v4_conect"))
        info = pb.LoadInfo(name="on_entry", program_type=pb.BpfmanProgramType(5), info=specific)
        request = pb.LoadRequest(bytecode=pb.BytecodeLocation(file=str(compiled("fentry"))), info=[info])
        with pytest.raises(GRPCError, match="tcp_v4_conect") as caught:
            await client.bpfman.load(request)
        assert caught.value.status is Status.NOT_FOUND

    empty.ask(wrong)


def test_kprobes_attach_or_are_named_as_missing(empty: Daemon, compiled: Compiled) -> None:
    async def wrong(client: Client) -> None:
        (loaded,) = await client.load(compiled("hooks"), ("on_kprobe", 3))
        try:
            await client.attach(loaded.kernel_info.id, kprobe_attach_info=pb.KprobeAttachInfo(fn_name="do_unlinkat"))
        except GRPCError as error:
            assert error.status is Status.FAILED_PRECONDITION  # noqa: PT017
            assert "no kprobes" in str(error.message)  # noqa: PT017

    empty.ask(wrong)
