"""A host of wasm programs in this process, as an agent has it, for parts that need no agent around it; and its guests."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from bench.map import CLANG
from conductor.bpf.objects import BpfObject
from conductor.bpf.pins import mount_bpffs, pin
from conductor.exporter.page import Page
from conductor.exporter.store import SeriesStore
from conductor.managers.cells import CellFiles
from conductor.model.facts import Container, Workload
from conductor.model.grants import Access, MapGrant
from conductor.model.ids import Name
from conductor.model.kernel import Bytecode, PathObject
from conductor.model.program import Limits, UserProgramSpec, WasmSource
from conductor.ports import MapHandle, ProgramContext
from conductor.wasm.instance import WasmInstance
from conductor.wasm.runtime import WasmRuntime

__all__ = ["HERE", "Bench", "build_example", "build_guest", "host", "pinned", "rival"]

HERE = Path(__file__).parent
SOURCES = {"rust": "lib.rs", "assemblyscript": "index.ts", "go": "main.go"}


class Bench:
    """One runtime and the page that its programs write to."""

    def __init__(self, *, runtime: WasmRuntime, cells: CellFiles) -> None:
        self._runtime, self._cells = runtime, cells
        self._store = SeriesStore()
        self._page = Page(store=self._store)

    async def open(
        self, module: Path, maps: Mapping[str, MapHandle], *, access: Access, limits: Limits
    ) -> WasmInstance:
        """Start an instance of a module under the name of its file."""
        name = Name(module.stem)
        grants = tuple(MapGrant(name=key, kernel_program=Name("bench"), map=key, access=access) for key in maps)
        source = WasmSource(location=_location(module))
        spec = UserProgramSpec(name=name, source=source, maps=grants, limits=limits)
        context = ProgramContext(
            name=name,
            config={},
            maps=maps,
            series=self._store.sink(name, limits.series),
            lookup=_Nobody(),
            log=lambda level, message: print(f"{name}: {level}: {message}", file=sys.stderr),
            state=self._cells.cell(name),
        )
        instance = await self._runtime.open(spec, context, None)
        if not isinstance(instance, WasmInstance):
            raise SystemExit("another runtime answered")
        return instance

    def values(self) -> dict[str, float]:
        """All series as a scrape would show them now."""
        self._page.tick(0.0)
        text = self._page.render(openmetrics=False, gzip=False).decode()
        return {s.name: s.value for family in text_string_to_metric_families(text) for s in family.samples}


@asynccontextmanager
async def host(place: Path) -> AsyncIterator[Bench]:
    cells = CellFiles(root=place / "cells")
    cells.prepare()
    async with WasmRuntime.running(files=_Files(), cache_dir=place / "code") as runtime:
        yield Bench(runtime=runtime, cells=cells)


def build_guest(name: str, place: Path, language: str = "c") -> Path:
    """Build a guest of bench/guests in one of its languages."""
    folder, here = place / language / name, HERE / "guests" / name
    _conductor("new", str(folder), "--lang", language, "--no-kernel")
    for file in ("needs.json", SOURCES.get(language, f"{name}.c")):
        shutil.copyfile(here / file, folder / file)
    _conductor("build", str(folder))
    return folder / f"{name}.wasm"


def build_example(name: str, place: Path, language: str) -> Path:
    """Build an example of the SDK that has no kernel half."""
    folder = place / language / name
    _conductor("new", str(folder), "--lang", language, "--example", name)
    _conductor("build", str(folder))
    return folder / f"{name}.wasm"


def _conductor(*words: str) -> None:
    command = [sys.executable, "-m", "conductor", "wasm", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    if done.returncode:
        raise SystemExit(done.stderr)


def rival(name: str, place: Path) -> Path:
    """Build a C program of this folder against libbpf."""
    made = place / name
    subprocess.run(["cc", "-O2", "-o", str(made), str(HERE / f"{name}.c"), "-lbpf"], check=True)
    return made


@contextmanager
def pinned(name: str, *, programs: Collection[str] = (), maps: Sequence[str]) -> Iterator[tuple[Path, Path]]:
    """Load an object of this folder and pin its parts by name; a folder for other things, and that of the pins."""
    with tempfile.TemporaryDirectory() as folder:
        place, bpffs = Path(folder), Path(folder) / "bpf"
        subprocess.run([*CLANG, "-c", str(HERE / f"{name}.bpf.c"), "-o", str(place / "it.o")], check=True)
        bpffs.mkdir()
        mount_bpffs(bpffs)
        try:
            with BpfObject.open(place / "it.o") as made:
                made.load()
                for one in programs:
                    pin(made.program_fd(one), bpffs / one)
                for one in maps:
                    pin(made.map_fd(one), bpffs / one)
            yield place, bpffs
        finally:
            subprocess.run(["umount", "-l", str(bpffs)], check=True)


def _location(module: Path) -> PathObject:
    return PathObject(path=str(module), digest=f"sha256:{hashlib.sha256(module.read_bytes()).hexdigest()}")


class _Files:
    """Modules where they lie."""

    def path_of(self, bytecode: Bytecode) -> tuple[str, str]:
        if not isinstance(bytecode, PathObject):
            raise SystemExit("only files are measured")
        return bytecode.path, bytecode.digest


class _Nobody:
    """A look-up that knows nobody."""

    def workloads(self, addresses: Sequence[bytes]) -> list[Workload | None]:
        return [None for _ in addresses]

    def containers(self, cgroup_ids: Sequence[int]) -> list[Container | None]:
        return [None for _ in cgroup_ids]

    def is_local(self, addresses: Sequence[bytes]) -> list[bool]:
        return [False for _ in addresses]

    def is_settled(self) -> bool:
        return True
