"""Fixtures that every test folder may use: compiled kernel objects, a bpffs, network namespaces."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import struct
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cluster.testbed import Testbed

os.environ.pop("KUBERNETES_SERVICE_HOST", None)  # where these tests run in a pod: its cluster is not theirs
OBJECTS = Path(__file__).parent / "objects"
CLANG = ("clang", "-O2", "-g", "-Wall", "-Werror", "-target", "bpf", "-mcpu=v3")
INCLUDES = tuple(f"-I/usr/include/{triple}" for triple in ("x86_64-linux-gnu", "aarch64-linux-gnu"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "CONDUCTOR_CRANE" not in os.environ:  # the session `registry` names its tools
        left = [item for item in items if item.get_closest_marker("registry")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]
    if "KUBEBUILDER_ASSETS" not in os.environ:  # the session `cluster` names its servers
        without = [item for item in items if item.get_closest_marker("cluster")]
        config.hook.pytest_deselected(items=without)
        items[:] = [item for item in items if item not in without]
    missing = _kernel_lacks()
    for item in items:
        if missing and item.get_closest_marker("kernel"):
            item.add_marker(pytest.mark.skip(reason=missing))


def _kernel_lacks() -> str:
    if os.geteuid() != 0:
        return "needs root: BPF programs are loaded"
    if not Path("/sys/kernel/btf/vmlinux").exists():
        return "needs a kernel with BTF (CONFIG_DEBUG_INFO_BTF)"
    return ""


@pytest.fixture(scope="session")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    """A real API server, once for the whole run; tests with the marker `cluster` alone have it."""
    from tests.cluster.testbed import Testbed  # it brings cryptography along

    with Testbed.running(tmp_path_factory.mktemp("cluster")) as bed:
        yield bed


@pytest.fixture(scope="session")
def compiled(request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """Compile tests/objects/NAME.bpf.c once per content; answers the object's path."""
    cache = request.config.cache
    assert cache is not None
    folder = cache.mkdir("objects")

    def compile_(name: str) -> Path:
        if shutil.which("clang") is None:
            pytest.skip("needs clang to compile test objects (Debian package clang)")
        source = OBJECTS / f"{name}.bpf.c"
        digest = hashlib.sha256(source.read_bytes() + repr(CLANG).encode()).hexdigest()[:16]
        target = folder / digest / f"{name}.bpf.o"
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            made = target.with_name(f"{uuid.uuid4().hex}.o")
            subprocess.run([*CLANG, *INCLUDES, "-c", str(source), "-o", str(made)], check=True)
            made.rename(target)
        return target

    return compile_


@pytest.fixture(scope="session")
def kernel_pid(compiled: Callable[[str], Path]) -> int:
    """This process as BPF programs see it: in a PID namespace os.getpid() is another number."""
    from conductor.bpf import links
    from conductor.bpf.maps import BpfMap
    from conductor.bpf.objects import BpfObject

    password = secrets.randbits(31)
    with BpfObject.open(compiled("caller")) as caller:
        caller.set_global("password", struct.pack("I", password))
        caller.load()
        with links.tracepoint(caller.program_fd("on_enter"), "raw_syscalls/sys_enter"), suppress(ProcessLookupError):
            os.getpgid(password)
        with BpfMap.from_fd(os.dup(caller.map_fd("caller.bss"))) as bss:
            return int(struct.unpack("I", bss.lookup(bytes(4)) or b"")[0])


@pytest.fixture
def bpffs() -> Iterator[Path]:
    """A bpffs of this test alone, where users without privilege can reach it (unlike pytest's tmp_path)."""
    with tempfile.TemporaryDirectory(prefix="bpffs-") as folder:
        place = Path(folder)
        place.chmod(0o755)
        done = subprocess.run(["mount", "-t", "bpf", "bpf", folder], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"needs to mount a bpffs: {done.stderr.strip()}")
        try:
            place.chmod(0o755)
            yield place
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


@contextmanager
def namespaces() -> Iterator[Callable[[], str]]:
    """Make network namespaces with their own lo; answers the name (a path below /run/netns)."""
    made: list[str] = []

    def make() -> str:
        name = f"test-{uuid.uuid4().hex[:8]}"
        done = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"needs network namespaces and iproute2: {done.stderr.strip()}")
        made.append(name)
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        return name

    try:
        yield make
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "del", name], check=False)


@pytest.fixture
def netns() -> Iterator[Callable[[], str]]:
    """Make network namespaces of this test alone."""
    with namespaces() as make:
        yield make


@pytest.fixture
def veth(netns: Callable[[], str]) -> Callable[[], tuple[str, str]]:
    """Make two namespaces joined by a veth pair named `v`, 10.77.0.1 and .2 (fd77::1 and ::2); answers their names."""

    def make() -> tuple[str, str]:
        left, right = netns(), netns()
        subprocess.run(["ip", "-n", left, "link", "add", "v", "type", "veth", "peer", "v", "netns", right], check=True)
        for number, name in ((1, left), (2, right)):
            subprocess.run(["ip", "-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", "v"], check=True)
            subprocess.run(["ip", "-n", name, "addr", "add", f"fd77::{number}/64", "dev", "v", "nodad"], check=True)
            subprocess.run(["ip", "-n", name, "link", "set", "v", "up"], check=True)
        return left, right

    return make
