"""Compilation in children with limits, and compiled code that is trusted only byte for byte."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import time
from importlib.metadata import version
from pathlib import Path

import pytest
from wasmtime import wat2wasm

from conductor.errors import CompileBudget, ConductorError, InvalidSpec, ModuleUnusable, StateUnwritable
from conductor.wasm.abi import NEEDS_SECTION
from conductor.wasm.anatomy import LOCALS, examine
from conductor.wasm.code_cache import CodeCache
from conductor.wasm.compiler import Compiler
from conductor.wasm.needs import Needs
from conductor.wasm.sections import HEADER, custom_section
from conductor.wasm.settings import key_text
from conductor.wasm.tuning import Tuning
from tests.wasm.guests import Wat, counting
from tests.wasm.world import Worlds

SEED = random.randrange(1 << 32)


def bomb(size: int = 6000) -> bytes:
    """Small, and slow to compile: values that live across very many blocks."""
    body = "".join(
        f"(if (i32.and (local.get $i) (i32.const {k})) (then (local.set $x{k % 200} (i32.add (local.get $x{(k * 7) % 200})"
        f" (local.get $x{(k * 13) % 200})))) (else (local.set $x{(k * 3) % 200} (i32.mul (local.get $x{(k * 5) % 200})"
        f" (local.get $x{(k * 11) % 200})))))"
        for k in range(size)
    )
    locals_ = "".join(f"(local $x{k} i32)" for k in range(200))
    return Wat().build(
        other=f"(func $f (param $i i32) (result i32) {locals_} {body} (local.get $x1))", tick="(call $f (i32.const 1))"
    )


def test_a_compile_bomb_is_ended_while_others_tick(world: Worlds) -> None:
    async def run() -> None:
        async with world(Tuning(compile_seconds=1.0)) as here:
            one = await here.open(counting())
            late: list[float] = []

            async def ticking() -> None:
                while True:
                    at = time.monotonic()
                    await one.tick()
                    late.append(time.monotonic() - at)
                    await asyncio.sleep(0.01)

            async with asyncio.TaskGroup() as group:
                neighbour = group.create_task(ticking())
                with pytest.raises(CompileBudget, match="make the module simpler"):
                    await here.open(bomb(30_000), "bomb")
                neighbour.cancel()
            assert len(late) > 5
            assert sorted(late)[len(late) // 2] < 0.1

    asyncio.run(run())


def test_output_of_a_compiler_is_bounded() -> None:
    async def run() -> None:
        with pytest.raises(CompileBudget, match="machine code"):
            await Compiler(code_bytes=1000).compile(counting())

    asyncio.run(run())


def test_a_module_that_does_not_validate_is_refused() -> None:
    module = Wat().build()
    broken = module.replace(b"\x41\x00\x0b", b"\x42\x00\x0b")  # an i64 where an i32 is due

    async def run() -> None:
        with pytest.raises(ModuleUnusable, match="does not compile"):
            await Compiler().compile(broken)

    asyncio.run(run())


def test_compiled_code_is_found_again(world: Worlds, tmp_path: Path) -> None:
    async def run() -> None:
        for compiled in (1, 0):
            async with world() as here:
                one = await here.open(counting())
                await one.tick()
                assert here.runtime._host is not None
                assert here.runtime._host.compiled == compiled
        assert len(list((tmp_path / "code").iterdir())) == 1

    asyncio.run(run())


def test_flipped_bits_are_never_run(world: Worlds, tmp_path: Path) -> None:
    rng = random.Random(SEED)
    print("seed", SEED)

    async def run() -> None:
        async with world() as here:
            await here.open(counting())
        (kept,) = (tmp_path / "code").iterdir()
        good = kept.read_bytes()
        cache = CodeCache.opened(tmp_path / "code")
        for _ in range(60):
            bad = bytearray(good)
            bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
            kept.write_bytes(bad)
            assert not [key for key in keys_of(kept) if cache.load(key)]
        cache.close()
        kept.write_bytes(bad)
        async with world() as here:
            one = await here.open(counting())  # compiled anew
            await one.tick()
            assert here.runtime._host is not None
            assert here.runtime._host.compiled == 1
        assert kept.read_bytes() == good

    def keys_of(path: Path) -> list[str]:
        digest = hashlib.sha256(counting()).hexdigest()
        key = f"sha256:{digest}:{digest}:{key_text(version('wasmtime'))}"
        assert hashlib.sha256(key.encode()).hexdigest() == path.name
        return [key]

    asyncio.run(run())


def test_files_that_change_places_are_refused(tmp_path: Path) -> None:
    cache = CodeCache.opened(tmp_path / "code")
    cache.store("a", b"code of a")
    cache.store("b", b"code of b")
    first, second = sorted((tmp_path / "code").iterdir())
    first.rename(tmp_path / "x")
    second.rename(first)
    assert cache.load("a") is None
    assert cache.load("b") is None
    assert cache.refused == 1
    cache.close()


def test_the_cache_directory_must_be_ours_alone(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(real)
    with pytest.raises(StateUnwritable, match="no link"):
        CodeCache.opened(tmp_path / "link")
    real.chmod(0o750)
    with pytest.raises(StateUnwritable, match="0700"):
        CodeCache.opened(real)


def test_a_link_in_the_cache_is_not_followed(tmp_path: Path) -> None:
    cache = CodeCache.opened(tmp_path / "code")
    cache.store("a", b"code")
    (kept,) = (tmp_path / "code").iterdir()
    kept.rename(tmp_path / "elsewhere")
    kept.symlink_to(tmp_path / "elsewhere")
    assert cache.load("a") is None
    cache.close()


def test_the_cache_is_bounded(tmp_path: Path) -> None:
    cache = CodeCache.opened(tmp_path / "code", most_bytes=10_000)
    for i in range(10):
        cache.store(str(i), os.urandom(3000))
        os.utime(next(p for p in (tmp_path / "code").iterdir()), (i, i))
    assert sum(p.stat().st_size for p in (tmp_path / "code").iterdir()) <= 10_000
    cache.close()


def many_locals() -> bytes:
    number = bytes([0x80 | (LOCALS + 1) & 0x7F, 0x80 | (LOCALS + 1) >> 7 & 0x7F, (LOCALS + 1) >> 14])
    body = b"\x01" + number + b"\x7f\x0b"
    return HEADER + b"\x0a" + bytes([len(body) + 2, 1, len(body)]) + body


@pytest.mark.parametrize(
    ("module", "kind", "told"),
    [
        (b"\0asm\x0d\0\1\0", ModuleUnusable, "component.*build a core module"),
        (b"\x7fELF" + bytes(60), ModuleUnusable, "ELF"),
        (b"", ModuleUnusable, "no wasm module"),
        (b"\0asm\2\0\0\0", ModuleUnusable, "another version"),
        (HEADER, ModuleUnusable, "conductor_v1_tick"),
        (
            Wat().build(exports='(func (export "_start"))').replace(b"conductor_v1_tick", b"conductor_v1_tock"),
            ModuleUnusable,
            "command",
        ),
        (Wat().build().replace(b"memory", b"memori"), ModuleUnusable, "its memory"),
        (counting().replace(b"metric_write", b"metric_wrote"), ModuleUnusable, "metric_wrote.*no such function"),
        (counting().replace(b"conductor_v1\x0c", b"conductor_v2\x0c"), ModuleUnusable, "no such host module"),
        (many_locals(), ModuleUnusable, "locals"),
        (counting()[:-5], ConductorError, "ends in the middle"),
        (Wat().build() + custom_section(NEEDS_SECTION, b"{"), InvalidSpec, "no JSON"),
        (Wat().build() + 2 * custom_section(NEEDS_SECTION, b"{}"), ModuleUnusable, "2 times"),
        (Wat().build() + custom_section(NEEDS_SECTION, b'{"abi":2}'), InvalidSpec, "speaks version 1"),
        (
            Wat().build() + custom_section(NEEDS_SECTION, b'{"maps":[{"name":"x","type":"tree"}]}'),
            InvalidSpec,
            r"maps\[0\]\.type",
        ),
    ],
)
def test_what_is_no_guest_is_told_why(module: bytes, kind: type[Exception], told: str) -> None:
    with pytest.raises(kind, match=told):
        examine(module)


def test_needs_come_back_as_written() -> None:
    needs = Needs(interval=2.5, config_schema={"properties": {"a": {"type": "string"}}})
    assert examine(counting(needs=needs)).needs == needs


@pytest.mark.parametrize("feature", ["(memory i64 1)", "(memory 1) (memory 1)", "(tag $t)", "(memory 1 1 shared)"])
def test_features_that_are_off_are_refused(feature: str) -> None:
    tick = '(func (export "conductor_v1_tick") (param i64) (result i32) (i32.const 0))'
    try:
        module = bytes(wat2wasm(f'(module {feature} {tick} (export "memory" (memory 0)))'))
    except Exception:  # noqa: BLE001 - a tag alone has no memory to export
        module = bytes(wat2wasm(f'(module (memory (export "memory") 1) {feature} {tick})'))

    async def run() -> None:
        with pytest.raises(ModuleUnusable):
            await Compiler().compile(module)

    asyncio.run(run())
