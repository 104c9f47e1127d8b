"""What can be loaded here."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from conductor.builtin import BUILTINS
from conductor.errors import ObjectUnreadable
from conductor.managers.registry import DECLARED_BYTES, MODULES, RegistryManager, latest
from conductor.model.agent import Available
from conductor.model.grants import Access, MapNeed, MapType
from conductor.model.image import ImageKind, ImageStatus
from conductor.model.metrics import MetricKind, MetricSpec
from conductor.model.program import ProgramType
from conductor.wasm.module_file import module_needs
from conductor.wasm.needs import Needs
from conductor.wasm.sections import HEADER
from tests.fakes.images import FakeImages
from tests.wasm.guests import counting

COUNTS = MapNeed(name="counts", type=MapType.HASH, access=Access.READ, key_size=4, value_size=8)
NEEDS = Needs(
    maps=(COUNTS,),
    metrics=(MetricSpec(name="calls_total", kind=MetricKind.COUNTER, help="Calls."),),
    config_schema={"type": "object", "properties": {"interval": {"type": "number"}}},
)


@dataclass
class Images:
    """Images in a folder, listed as the store lists them."""

    source: FakeImages
    read: list[Path] = field(default_factory=list)

    def images(self) -> tuple[ImageStatus, ...]:
        return self.source.images(())

    def located(self, content: str) -> Path | None:
        return self.source.located(content)

    def have(self, reference: str, content: bytes, kind: ImageKind = ImageKind.WASM) -> None:
        digest = self.source.push(reference, content, kind)
        self.source.store[digest] = self.source.registry[reference]

    async def look(self, path: Path, digest: str, /) -> Needs:
        self.read.append(path)
        return await module_needs(path, digest)

    @property
    def registry(self) -> RegistryManager:
        return RegistryManager(builtins=(), images=self, read=self.look)


@pytest.fixture
def images(tmp_path: Path) -> Images:
    return Images(FakeImages(tmp_path))


def told(listed: tuple[Available, ...]) -> dict[str, str]:
    return {one.name: one.description for one in listed}


async def test_every_builtin_is_there_with_what_it_needs() -> None:
    available = {each.name: each for each in await RegistryManager(builtins=BUILTINS).available()}
    assert list(available) == sorted(builtin.name for builtin in BUILTINS)
    service_map = available["service_map"]
    assert service_map.type is ProgramType.BUILTIN
    assert [need.name for need in service_map.needs] == ["pairs", "losses"]
    assert "interval" in service_map.config_schema["properties"]
    assert service_map.description
    assert service_map.metrics


async def test_modules_of_images_are_listed_after_builtins_with_what_they_declare(images: Images) -> None:
    images.have("registry.example/tool:v1", counting(needs=NEEDS))
    images.have("registry.example/object:v1", b"\x7fELF", ImageKind.BYTECODE)
    registry = RegistryManager(builtins=BUILTINS, images=images, read=images.look)
    *builtins, tool = await registry.available()
    assert {one.type for one in builtins} == {ProgramType.BUILTIN}
    assert (tool.name, tool.type, tool.needs) == ("registry.example/tool:v1", ProgramType.WASM, (COUNTS,))
    assert [metric.name for metric in tool.metrics] == ["calls_total"]
    assert "interval" in tool.config_schema["properties"]


async def test_a_module_is_read_once_however_often_it_is_listed(images: Images) -> None:
    images.have("registry.example/a:v1", counting(needs=NEEDS))
    images.have("registry.example/a:v2", counting(needs=NEEDS))
    registry = images.registry
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(registry.available())
    assert len(images.read) == 1


async def test_what_cannot_run_says_why_and_disturbs_no_other(images: Images) -> None:
    images.have("registry.example/good:v1", counting())
    images.have("registry.example/bad:v1", HEADER + b"\x00")
    registry = images.registry
    for _ in range(2):
        shown = told(await registry.available())
        assert shown["registry.example/bad:v1"].startswith("cannot be loaded: ")
        assert shown["registry.example/good:v1"].startswith("WebAssembly module of ")
    assert len(images.read) == 2


async def test_a_damaged_file_is_looked_at_again_and_one_that_went_is_left_out(images: Images) -> None:
    content = counting()
    images.have("registry.example/a:v1", content)
    (path,) = (pulled.path for pulled in images.source.store.values())
    path.write_bytes(content[:-1])
    registry = images.registry
    assert "is not what its digest says" in told(await registry.available())["registry.example/a:v1"]
    path.write_bytes(content)
    assert "WebAssembly module" in told(await registry.available())["registry.example/a:v1"]
    images.source.store.clear()
    assert await registry.available() == ()


async def test_one_that_declares_very_much_shows_its_maps_alone(images: Images) -> None:
    wordy = Needs(maps=(COUNTS,), config_schema={"type": "object", "description": "x" * DECLARED_BYTES})
    images.have("registry.example/a:v1", counting(needs=wordy))
    (one,) = await images.registry.available()
    assert (one.needs, one.metrics, one.config_schema) == ((COUNTS,), (), {})
    assert "too long to list" in one.description


def status(reference: str, pulled: float, kind: ImageKind = ImageKind.WASM) -> ImageStatus:
    more: dict[str, Any] = {"size": 1, "used": 0.0, "in_use": False, "verdict": ""}
    return ImageStatus(reference=reference, digest=f"m{pulled}", content=f"c{pulled}", kind=kind, pulled=pulled, **more)


def test_of_a_reference_the_one_pulled_last_is_listed() -> None:
    held = [status("b", 1), status("a", 3), status("b", 2), status("c", 4, ImageKind.BYTECODE)]
    assert [(one.reference, one.pulled) for one in latest(held)] == [("a", 3), ("b", 2)]


def test_of_very_many_the_latest_are_listed() -> None:
    found = latest([status(f"r{i:04}", i) for i in range(MODULES + 3)])
    assert len(found) == MODULES
    assert found[0].reference == "r0003"


async def test_what_is_remembered_has_a_bound(images: Images) -> None:
    reads: list[str] = []

    async def read(_: Path, digest: str, /) -> Needs:
        reads.append(digest)
        return Needs()

    registry = RegistryManager(builtins=(), images=images, read=read)
    first = counting()
    images.have("registry.example/first:v1", first)
    await registry.available()
    for i in range(MODULES):
        images.source.store.clear()
        images.have("registry.example/other:v1", b"%d" % i)
        await registry.available()
    images.source.store.clear()
    images.have("registry.example/first:v1", first)
    await registry.available()
    assert len(reads) == MODULES + 2


async def test_files_that_are_no_modules_are_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ObjectUnreadable, match="No such file"):
        await module_needs(tmp_path / "none", "")
    (tmp_path / "empty").touch()
    with pytest.raises(ObjectUnreadable, match="is empty"):
        await module_needs(tmp_path / "empty", "")
