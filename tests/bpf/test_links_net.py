from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from conductor.bpf import links
from conductor.bpf.info import link_info, program_info
from conductor.bpf.kinds import AttachType
from conductor.bpf.objects import BpfObject
from conductor.bpf.syscall import libc
from conductor.errors import AlreadyExists, KernelRefused, NotFound, NotSupported
from conductor.model.kernel import Direction

Load = Callable[..., BpfObject]
pytestmark = pytest.mark.kernel
Runs = Callable[[BpfObject, str], int]
LO = 1
CLONE_NEWNET = 0x40000000


@pytest.fixture
def inside(netns: Callable[[], str]) -> Callable[[Callable[[], None]], None]:
    """Run something on a thread in a network namespace of this test alone; failures come back."""
    name = netns()

    def run(work: Callable[[], None]) -> None:
        failures: list[BaseException] = []

        def enter() -> None:
            try:
                with Path(f"/run/netns/{name}").open() as namespace:
                    assert libc.setns(namespace.fileno(), CLONE_NEWNET) == 0
                work()
            except BaseException as error:  # noqa: BLE001 raised again below
                failures.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if failures:
            raise failures[0]

    return run


def ping() -> None:
    """Send one datagram over lo."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
    ):
        two.bind(("127.0.0.1", 0))
        two.settimeout(5)
        one.sendto(b"x", two.getsockname())
        assert two.recv(10) == b"x"


Inside = Callable[[Callable[[], None]], None]


def test_xdp_sees_packets(loaded: Load, runs: Runs, inside: Inside) -> None:
    hooks = loaded("hooks", "on_xdp")

    def work() -> None:
        with links.xdp(hooks.program_fd("on_xdp"), LO, links.XdpMode.GENERIC) as link:
            ping()
            info = link_info(link.fileno())
            assert (info.type, info.detail) == ("xdp", {"ifindex": LO})
        assert runs(hooks, "xdp") == 1

    inside(work)


def test_a_second_xdp_program_is_refused_with_what_helps(loaded: Load, inside: Inside) -> None:
    hooks = loaded("hooks", "on_xdp")

    def work() -> None:
        with (
            links.xdp(hooks.program_fd("on_xdp"), LO, links.XdpMode.GENERIC),
            pytest.raises(KernelRefused, match="detach it first"),
        ):
            links.xdp(hooks.program_fd("on_xdp"), LO, links.XdpMode.GENERIC)

    inside(work)


def test_an_interface_that_is_not_there_is_said(loaded: Load, inside: Inside) -> None:
    hooks = loaded("hooks", "on_xdp", "on_tcx", "on_tc")

    def work() -> None:
        with pytest.raises(NotFound, match="no interface 4711"):
            links.xdp(hooks.program_fd("on_xdp"), 4711)
        with pytest.raises(NotFound, match="no interface 4711"):
            links.tcx(hooks.program_fd("on_tcx"), 4711, Direction.INGRESS)
        with pytest.raises(NotFound, match="4711"):
            links.tc(hooks.program_fd("on_tc"), 4711, Direction.INGRESS)

    inside(work)


@pytest.mark.parametrize("direction", list(Direction))
def test_tcx_sees_packets(loaded: Load, runs: Runs, inside: Inside, direction: Direction) -> None:
    hooks = loaded("hooks", "on_tcx")

    def work() -> None:
        with links.tcx(hooks.program_fd("on_tcx"), LO, direction) as link:
            ping()
            info = link_info(link.fileno())
            expected = AttachType.TCX_INGRESS if direction is Direction.INGRESS else AttachType.TCX_EGRESS
            assert (info.type, info.detail) == ("tcx", {"ifindex": LO, "attach_type": expected})
        assert runs(hooks, "tcx") == 1

    inside(work)


def test_tcx_links_stand_in_the_order_asked_for(loaded: Load, inside: Inside) -> None:
    objects = [loaded("hooks", "on_tcx") for _ in range(4)]
    fds = [made.program_fd("on_tcx") for made in objects]
    ids = [program_info(fd).id for fd in fds]

    def work() -> None:
        with ExitStack() as stack:
            middle = stack.enter_context(links.tcx(fds[0], LO, Direction.INGRESS))
            stack.enter_context(links.tcx(fds[1], LO, Direction.INGRESS))
            stack.enter_context(links.tcx(fds[2], LO, Direction.INGRESS, before=0))
            stack.enter_context(links.tcx(fds[3], LO, Direction.INGRESS, after=middle.fileno()))
            chain = links.tcx_chain(LO, Direction.INGRESS)
            assert [program for program, _ in chain.programs] == [ids[2], ids[0], ids[3], ids[1]]
            assert chain.programs[1][1] == link_info(middle.fileno()).id
            assert links.tcx_chain(LO, Direction.EGRESS).programs == ()

    inside(work)


def test_a_stale_revision_is_refused(loaded: Load, inside: Inside) -> None:
    fds = [loaded("hooks", "on_tcx").program_fd("on_tcx") for _ in range(2)]

    def work() -> None:
        with links.tcx(fds[0], LO, Direction.INGRESS):
            revision = links.tcx_chain(LO, Direction.INGRESS).revision
            with pytest.raises(KernelRefused, match="changed meanwhile"):
                links.tcx(fds[1], LO, Direction.INGRESS, revision=revision + 7)
            links.tcx(fds[1], LO, Direction.INGRESS, revision=revision).close()

    inside(work)


def test_the_same_tcx_program_twice_is_said(loaded: Load, inside: Inside) -> None:
    fd = loaded("hooks", "on_tcx").program_fd("on_tcx")

    def work() -> None:
        with links.tcx(fd, LO, Direction.INGRESS), pytest.raises(AlreadyExists):
            links.tcx(fd, LO, Direction.INGRESS)

    inside(work)


def test_a_program_of_another_type_does_not_fit(loaded: Load, inside: Inside) -> None:
    hooks = loaded("hooks", "on_xdp", "on_tcx")

    def work() -> None:
        with pytest.raises(NotSupported, match="not of type sched_cls"):
            links.tcx(hooks.program_fd("on_xdp"), LO, Direction.INGRESS)
        with pytest.raises(NotSupported, match="not of type XDP"):
            links.xdp(hooks.program_fd("on_tcx"), LO, links.XdpMode.GENERIC)

    inside(work)


def test_a_link_takes_another_program_without_a_gap(loaded: Load, inside: Inside) -> None:
    fds = [loaded("hooks", "on_tcx").program_fd("on_tcx") for _ in range(2)]

    def work() -> None:
        with links.tcx(fds[0], LO, Direction.INGRESS) as link:
            links.update_link(link.fileno(), fds[1])
            assert link_info(link.fileno()).prog_id == program_info(fds[1]).id

    inside(work)


def test_a_classic_filter_stays_until_it_is_detached(loaded: Load, runs: Runs, inside: Inside) -> None:
    hooks = loaded("hooks", "on_tc")
    fd = hooks.program_fd("on_tc")

    def work() -> None:
        standing = links.tc(fd, LO, Direction.EGRESS, priority=50)
        assert (standing.priority, standing.direction) == (50, Direction.EGRESS)
        ping()
        assert runs(hooks, "tc") == 1
        same = links.TcFilter(LO, Direction.EGRESS, 50, standing.handle)
        assert same.program_id() == program_info(fd).id
        same.detach()
        same.detach()
        assert same.program_id() is None
        ping()
        assert runs(hooks, "tc") == 1

    inside(work)


def test_classic_filters_share_an_interface(loaded: Load, inside: Inside) -> None:
    hooks = [loaded("hooks", "on_tc") for _ in range(2)]

    def work() -> None:
        filters = [links.tc(made.program_fd("on_tc"), LO, Direction.INGRESS) for made in hooks]
        assert len({(f.priority, f.handle) for f in filters}) == 2
        for standing in filters:
            standing.detach()

    inside(work)


def test_a_taken_place_is_said(loaded: Load, inside: Inside) -> None:
    fd = loaded("hooks", "on_tc").program_fd("on_tc")

    def work() -> None:
        standing = links.tc(fd, LO, Direction.INGRESS, priority=7, handle=1)
        with pytest.raises(AlreadyExists):
            links.tc(fd, LO, Direction.INGRESS, priority=7, handle=1)
        standing.detach()

    inside(work)


@contextmanager
def own_cgroup() -> Iterator[Path]:
    found = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if line.split()[2] == "cgroup2"]
    if not found:
        pytest.skip("needs cgroup v2 (CONFIG_CGROUP_BPF)")
    folder = Path(found[0]) / f"test-{os.getpid()}"
    folder.mkdir()
    try:
        yield folder
    finally:
        folder.rmdir()


def test_a_cgroup_hook_sees_the_packets_of_its_processes(loaded: Load, runs: Runs) -> None:
    hooks = loaded("hooks", "on_cgroup")
    with own_cgroup() as folder:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with links.cgroup(hooks.program_fd("on_cgroup"), fd, AttachType.CGROUP_INET_EGRESS) as link:
                assert link_info(link.fileno()).type == "cgroup"
                script = f"echo $$ > {folder}/cgroup.procs; exec bash -c 'echo x > /dev/udp/127.0.0.1/9'"
                subprocess.run(["bash", "-c", script], check=True)
        finally:
            os.close(fd)
    assert runs(hooks, "cgroup") >= 1


def test_what_is_no_cgroup_is_refused(loaded: Load) -> None:
    fd = os.open("/tmp", os.O_RDONLY)
    try:
        with pytest.raises(KernelRefused, match="cgroup v2"):
            links.cgroup(loaded("hooks", "on_cgroup").program_fd("on_cgroup"), fd, AttachType.CGROUP_INET_EGRESS)
    finally:
        os.close(fd)
