"""Modules with changed bytes: refused by a sentence, or run within their budgets, whatever they do."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conductor.cli.wasm_project import Language
from conductor.cli.wasm_tools import missing
from conductor.errors import ConductorError
from conductor.model.program import Limits
from conductor.wasm.anatomy import examine
from tests.wasm.guests import counting
from tests.wasm.reaching import dispatcher
from tests.wasm.world import Worlds

SEED = random.randrange(1 << 32)
RUN = 12
"""Mutants that are compiled and run; the others are only looked over."""


def mutants(rng: random.Random, seeds: list[bytes], most: int) -> list[bytes]:
    """Modules with changed, missing or doubled bytes that pass the first look."""
    passed: list[bytes] = []
    for _ in range(most):
        mutant = bytearray(rng.choice(seeds))
        for _ in range(rng.choice((1, 1, 2, 8))):
            mutant[rng.randrange(len(mutant))] = rng.randrange(256)
        if rng.random() < 0.1:
            del mutant[rng.randrange(len(mutant)) :]
        if rng.random() < 0.1:
            at = rng.randrange(len(mutant))
            mutant[at:at] = mutant[max(0, at - 16) : at]
        try:
            examine(bytes(mutant))
        except ConductorError:
            continue
        passed.append(bytes(mutant))
    return passed


def run_all(world: Worlds, modules: list[bytes]) -> None:
    """Each beside a good one, which ticks on."""

    async def run() -> None:
        async with world() as here:
            good = await here.open(counting("good_total"), "good")
            for i, module in enumerate(modules):
                try:
                    one = await here.open(module, f"m{i}", limits=Limits(cpu_call=0.1))
                    await one.tick()
                except ConductorError:
                    pass
                await good.tick()
            assert here.value("good_total", "good") == len(modules)

    asyncio.run(run())


def test_modules_with_changed_bytes_are_refused_or_run(world: Worlds) -> None:
    print("seed", SEED)
    passed = mutants(random.Random(SEED), [counting(), dispatcher()], 400)
    assert passed
    run_all(world, passed[:RUN])


def test_changed_modules_of_a_real_compiler_are_refused_or_run(world: Worlds, tmp_path: Path) -> None:
    """As clang makes them, with the SDK: data segments, tables, a stack of its own, a needs section."""
    if lacks := missing(Language.C, kernel_half=False):
        pytest.skip(f"needs the Debian packages {', '.join(lacks.values())}")
    folder = tmp_path / "real"
    for words in (("new", str(folder), "--lang", "c", "--no-kernel"), ("build", str(folder))):
        subprocess.run(
            [sys.executable, "-m", "conductor", "wasm", *words], check=True, capture_output=True, timeout=120
        )
    real = (folder / "real.wasm").read_bytes()
    print("seed", SEED)
    passed = mutants(random.Random(SEED), [real], 300)
    assert passed
    run_all(world, [real, *passed[:RUN]])


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_bytes_that_claim_to_be_a_module(raw: bytes) -> None:
    with pytest.raises(ConductorError):
        examine(b"\0asm\1\0\0\0" + raw)
