"""What CI runs, by name: `nox -l`. Sessions use the environment that `./dev` made from the lock file.

Tools outside PyPI are installed by the session that needs them; without root and without sudo it says which package
is missing and fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import nox
from nox.command import CommandFailed

nox.options.sessions = ["lint", "typing", "tests"]
nox.options.default_venv_backend = "none"
nox.options.error_on_missing_interpreters = True

PYTHON = sys.executable
PROTO = Path("conductor/proto")
KERNEL_PACKAGES = ("libbpf1", "libbpf-dev", "clang", "llvm", "bpftool", "iproute2", "gcc", "libc6-dev", "curl")


def debian(session: nox.Session, *packages: str) -> None:
    """Install Debian packages that are missing, and name those that were there with their version."""
    missing = [name for name in packages if not _installed(name)]
    if missing:
        session.log("installing %s", " ".join(missing))
        root = [] if os.geteuid() == 0 else ["sudo"]
        apt = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
        session.run(*root, "apt-get", "update", "-qq", external=True, silent=True)
        session.run(*apt, "install", "-y", "-qq", "--no-install-recommends", *missing, external=True, silent=True)
    session.log("with %s", ", ".join(f"{name} {_installed(name)}" for name in packages))


def _installed(package: str) -> str:
    """Version of an installed Debian package; empty where it is missing."""
    if shutil.which("dpkg-query") is None:
        return "(by the system)"
    query = ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", package]
    status, _, version = subprocess.run(query, capture_output=True, text=True, check=False).stdout.partition(" ")
    return version if status == "installed" else ""


def as_root(session: nox.Session, *command: str) -> None:
    """Run a command as root: the real kernel wants it. sudo takes no variables along; `env` does."""
    prefix = [] if os.geteuid() == 0 else ["sudo", "--preserve-env=PATH"]
    session.run(*prefix, *command, external=True)


def checked(session: nox.Session, *words: str, variables: tuple[str, ...] = ()) -> None:
    """Run pytest as root. In CI what failed is tried once more by itself, and told: its machines are shared and stall."""
    command = ("env", *variables, PYTHON, "-m", "pytest")
    try:
        as_root(session, *command, *words)
    except CommandFailed:
        if "CI" not in os.environ:
            raise
        session.warn("SOME TESTS FAILED, see above; they are tried once more by themselves and must pass now")
        as_root(session, *command, "--last-failed", "--last-failed-no-failures=none", *words)


def faults(*, rounds: int) -> list[str]:
    """Rounds and seed of the tests that break things, as the caller's environment has them: sudo would drop both."""
    given = {"CONDUCTOR_FAULT_ROUNDS": str(rounds)}
    for name in ("CONDUCTOR_FAULT_ROUNDS", "CONDUCTOR_FAULT_SEED"):
        if name in os.environ:
            given[name] = os.environ[name]
    return [f"{name}={value}" for name, value in given.items()]


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff: rules and format."""
    session.run(PYTHON, "-m", "ruff", "check", ".", external=True)
    session.run(PYTHON, "-m", "ruff", "format", "--check", ".", external=True)


@nox.session
def typing(session: nox.Session) -> None:
    """Check types, strictly, source and tests."""
    session.run(PYTHON, "-m", "mypy", external=True)


@nox.session
def tests(session: nox.Session) -> None:
    """Every test that needs this machine alone: pure, real kernel, whole processes, 5 rounds of each fault."""
    debian(session, *KERNEL_PACKAGES, *GUESTS["c"], "systemd")
    # Two at once, each file by one of them: half of the time goes by in waiting for daemons, timers and the kernel.
    beside = () if session.posargs else ("-n", "2", "--dist", "loadfile")
    checked(session, *beside, *session.posargs, variables=tuple(faults(rounds=5)))


@nox.session
def bpfman(session: nox.Session) -> None:
    """Hold our client and agent to bpfman's released daemon; `-- --go-daemon PATH` adds a Go daemon that you built."""
    from tests.real_bpfman.install import PACKAGES, VERSION  # noqa: PLC0415 - only this session needs it

    debian(session, *KERNEL_PACKAGES, *PACKAGES, *GUESTS["c"])
    given = list(session.posargs)
    variables = faults(rounds=5)
    if "--go-daemon" in given:
        at = given.index("--go-daemon")
        go = Path(given[at + 1] if at + 1 < len(given) else "").resolve()
        if not go.is_file():
            session.error(f"--go-daemon {go} is no file: build `bpfman` from its public repository and name the binary")
        del given[at : at + 2]
        variables.append(f"CONDUCTOR_GO_BPFMAN={go}")
        session.log("with the Go daemon %s", go)
    else:
        session.log("without the Go daemon, which no registry carries: give a built one by -- --go-daemon PATH")
    # As the user who called, so that the cache is theirs.
    rust = session.run(PYTHON, "-m", "tests.real_bpfman.install", external=True, silent=True)
    session.log("with bpfman %s (Rust): %s", VERSION, str(rust).strip().splitlines()[-1])
    variables.append(f"CONDUCTOR_BPFMAN_RPC={str(rust).strip().splitlines()[-1]}")
    checked(session, "tests/real_bpfman", *given, variables=tuple(variables))


@nox.session
def cluster(session: nox.Session) -> None:
    """Hold what is of Kubernetes to a real API server: built once from its Go modules, or KUBEBUILDER_ASSETS names it."""
    debian(session, *KERNEL_PACKAGES)
    folder = _cluster_parts(session)
    variables = (f"KUBEBUILDER_ASSETS={folder}", *faults(rounds=5))
    if session.posargs:
        checked(session, "-m", "cluster", *session.posargs, variables=variables)
        return
    # The chart has an API server of its own: where it was uninstalled once, the Lease's policies no longer refuse.
    checked(session, "-m", "cluster", "tests/chart", variables=variables)
    checked(session, "-m", "cluster", "--ignore=tests/chart", variables=variables)


def _cluster_parts(session: nox.Session, *more: str) -> Path:
    """The folder with a real API server, etcd, kubectl, Helm, and more parts by name."""
    from tests.cluster.install import ETCD, HELM, PARTS, VERSION  # noqa: PLC0415 - only these sessions need it

    if assets := os.environ.get("KUBEBUILDER_ASSETS", ""):
        folder = Path(assets)
        if missing := [name for name in (*PARTS, *more) if not (folder / name).is_file()]:
            session.error(f"KUBEBUILDER_ASSETS={folder} has no {', '.join(missing)}")
        session.log("with the parts in %s", folder)
    else:
        # As the user who called, so that the cache is theirs.
        command = (PYTHON, "-m", "tests.cluster.install", *PARTS, *more)
        said = session.run(*command, external=True, silent=True)
        folder = Path(str(said).strip().splitlines()[-1])
        session.log("with Kubernetes %s, etcd %s and Helm %s in %s", VERSION, ETCD, HELM, folder)
    return folder


@nox.session
def image(session: nox.Session) -> None:
    """Build the image from the Containerfile and run the chart's pod from it, beside a real API server."""
    from tests.image.install import PACKAGES  # noqa: PLC0415 - only this session needs it

    debian(session, *KERNEL_PACKAGES, *PACKAGES, "runc")
    parts = _cluster_parts(session)
    variables = (f"KUBEBUILDER_ASSETS={parts}", f"CONDUCTOR_IMAGE={_image(session)}")
    checked(session, "-m", "image", *session.posargs, variables=variables)


def _image(session: nox.Session) -> Path:
    """The folder of the image of this tree."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    root = [] if os.geteuid() == 0 else ["sudo", "--preserve-env=PATH"]
    command = (*root, "env", f"XDG_CACHE_HOME={cache}", PYTHON, "-m", "tests.image.install")
    built = Path(str(session.run(*command, external=True, silent=True)).strip().splitlines()[-1])
    packed = len(zlib.compress((built / "image.tar").read_bytes(), 6))
    session.log("%s: %.0f MB, %.0f MB packed", built, (built / "image.tar").stat().st_size / 1e6, packed / 1e6)
    return built


@nox.session
def node(session: nox.Session) -> None:
    """Install the chart on a whole cluster of one node with real pods, and break it; CONDUCTOR_DAY=500 for a long day."""
    from tests.image.install import PACKAGES  # noqa: PLC0415 - only this session needs it
    from tests.real_bpfman.install import found  # noqa: PLC0415 - as above
    from tests.real_node.install import KUBERNETES, VERSIONS  # noqa: PLC0415 - as above
    from tests.real_node.install import PACKAGES as OWN  # noqa: PLC0415 - as above

    debian(session, *KERNEL_PACKAGES, *PACKAGES, *OWN)
    kubernetes = _cluster_parts(session, *KUBERNETES)
    said = session.run(PYTHON, "-m", "tests.real_node.install", external=True, silent=True)
    parts = str(said).strip().splitlines()[-1]
    session.log("with %s in %s", ", ".join(f"{name} {version}" for name, version in VERSIONS.items()), parts)
    variables = [f"KUBEBUILDER_ASSETS={kubernetes}", f"CONDUCTOR_NODE_PARTS={parts}"]
    variables += [f"CONDUCTOR_IMAGE={_image(session)}", f"CONDUCTOR_DAY={os.environ.get('CONDUCTOR_DAY', '40')}"]
    if bpfman := found():
        variables.append(f"CONDUCTOR_BPFMAN_RPC={bpfman}")
    else:
        session.log("without bpfman in a pod: `nox -s bpfman` builds it, in 6 to 10 minutes")
    checked(session, "-m", "node", *(session.posargs or ("tests/real_node", "-s")), variables=tuple(variables))


@nox.session
def registry(session: nox.Session) -> None:
    """Hold what is of images to real registries and tools: docker-registry, skopeo; crane, oras, cosign built with Go."""
    from tests.oci.registry.install import PACKAGES, TOOLS  # noqa: PLC0415 - only this session needs it

    debian(session, *KERNEL_PACKAGES, *PACKAGES, *GUESTS["c"])
    # As the user who called, so that the cache is theirs.
    said = session.run(PYTHON, "-m", "tests.oci.registry.install", external=True, silent=True)
    variables = [line for line in str(said).splitlines() if line.startswith("CONDUCTOR_")]
    session.log("with %s", ", ".join(f"{name} {version}" for name, (_, version) in TOOLS.items()))
    checked(session, "-m", "registry", *session.posargs, variables=tuple(variables))


GUESTS = {
    "c": ("clang", "lld", "wasi-libc", "libclang-rt-dev-wasm32"),
    "rust": (),
    "go": (),
    "assemblyscript": (),
}
"""Languages of guests, and what Debian has for them; the other compilers come from their own makers."""


@nox.session
def sdk(session: nox.Session) -> None:
    """Build every example of every SDK and play it: `-- --without=go,rust` leaves languages out."""
    left_out = {name for word in session.posargs if word.startswith("--without=") for name in word[10:].split(",")}
    languages = [name for name in GUESTS if name not in left_out]
    if unknown := left_out - set(GUESTS):
        session.error(f"--without={','.join(sorted(unknown))}: languages are {', '.join(GUESTS)}")
    debian(session, *KERNEL_PACKAGES, *(package for name in languages for package in GUESTS[name]))
    if "rust" in languages and shutil.which("rustup"):
        session.run("rustup", "target", "add", "wasm32-unknown-unknown", external=True, silent=True)
    _refuse_missing(session, languages)
    posargs = [word for word in session.posargs if not word.startswith("--without=")]
    checked(session, "tests/sdk", *posargs, variables=(f"CONDUCTOR_SDK={','.join(languages)}",))


def _refuse_missing(session: nox.Session, languages: list[str]) -> None:
    from conductor.cli.wasm_project import Language  # noqa: PLC0415 - other sessions need nothing of ours
    from conductor.cli.wasm_tools import missing  # noqa: PLC0415 - as above

    lacks = {name: missing(Language(name), kernel_half=True) for name in languages}
    if told := [f"{what} (install {where})" for found in lacks.values() for what, where in found.items()]:
        without = ",".join(name for name, found in lacks.items() if found)
        session.error(f"missing {'; '.join(told)}; or leave it out: -- --without={without}")


@nox.session
def soak(session: nox.Session) -> None:
    """Run the fault rounds 100 times, leaders before a real API server too (about an hour); prints the seed."""
    debian(session, *KERNEL_PACKAGES)
    variables = (f"KUBEBUILDER_ASSETS={_cluster_parts(session)}", *faults(rounds=100))
    command = (PYTHON, "-m", "pytest", "-m", "faults", "--timeout", "7200", "-s")
    as_root(session, "env", *variables, *command, *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure against rivals in the same run; prints ratios and writes bench/results.json."""
    debian(session, *KERNEL_PACKAGES, *GUESTS["c"])
    as_root(session, "env", *_bench_parts(session), PYTHON, "-m", "bench", *session.posargs)


def _bench_parts(session: nox.Session) -> list[str]:
    """The API server of the part `fleet`: built only for who asks for that part, as sudo's root has another cache."""
    from tests.cluster.install import PARTS, found  # noqa: PLC0415 - only this session needs it

    assets = os.environ.get("KUBEBUILDER_ASSETS", "")
    folder = _cluster_parts(session) if "fleet" in session.posargs else assets or found(*PARTS) or ""
    chosen = {name: os.environ.get(name, "") for name in ("CONDUCTOR_BENCH_NODES", "CONDUCTOR_BENCH_PROFILE")}
    given = {"KUBEBUILDER_ASSETS": str(folder)} | chosen
    return [f"{name}={value}" for name, value in given.items() if value]


@nox.session
def demo(session: nox.Session) -> None:
    """Bring up loader and agent with service_map on this kernel and show who talks to whom."""
    as_root(session, PYTHON, "examples/demo.py", *session.posargs)


@nox.session
def proto(session: nox.Session) -> None:
    """Write the generated modules again from the .proto files."""
    files = sorted(str(path.relative_to(PROTO)) for path in PROTO.glob("*.proto"))
    path = f"{Path(PYTHON).parent}{os.pathsep}{os.environ['PATH']}"
    with session.chdir(PROTO):
        command = (PYTHON, "-m", "grpc_tools.protoc", "-I", ".", "--python_betterproto_out=.", *files)
        session.run(*command, external=True, env={"PATH": path})


@nox.session
def docs(session: nox.Session) -> None:
    """Write the parts of documents again that follow from the code."""
    session.run(PYTHON, "-m", "tests.docs.written", external=True)


@nox.session
def crds(session: nox.Session) -> None:
    """Write the CustomResourceDefinitions of the chart again from the schema."""
    session.run(PYTHON, "-m", "tests.charts.written", external=True)


@nox.session
def objects(session: nox.Session) -> None:
    """Compile the kernel halves of the built-ins again."""
    debian(session, "clang", "llvm", "libbpf-dev")
    session.run(PYTHON, "-m", "conductor.builtin.kit.build", external=True)


@nox.session
def lock(session: nox.Session) -> None:
    """Write the lock files again (needs uv: pip install uv)."""
    compile_ = ("uv", "pip", "compile", "--universal", "--python-version", "3.11", "--generate-hashes")
    quiet = ("--quiet", "--no-emit-index-url", "--no-header", "pyproject.toml")
    session.run(*compile_, *quiet, "--group", "build", "-o", "requirements.lock", *session.posargs, external=True)
    session.run(*compile_, *quiet, "--group", "dev", "-o", "requirements-dev.lock", *session.posargs, external=True)


@nox.session
def ci(session: nox.Session) -> None:
    """Run what CI runs; `-- --without=bpfman` leaves a session out."""
    session.run("bash", ".ci/run", *session.posargs, external=True)
