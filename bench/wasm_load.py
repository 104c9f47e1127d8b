"""Load of a wasm module that was compiled before, from the call to Running: the whole road of a client through gRPC."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from statistics import median, quantiles

from bench.start import folder, node, wait
from bench.table import Row
from bench.wasm_host import build_guest
from conductor.client import Agent
from conductor.model.status import State
from conductor.wasm.sections import custom_section

MODULES = 15
ROUNDS = 40


def measure() -> list[Row]:
    """Load modules that this agent knows, then those that only the cache on disk knows, after a restart."""
    with folder() as root:
        module = build_guest("ticks", root).read_bytes()
        modules = [module + custom_section("bench", bytes([i])) for i in range(MODULES)]
        with node(root / "node", "--kernel", "none") as (port, _):
            wait(port)
            asyncio.run(_loaded(root, modules))  # compiles
            known = asyncio.run(_loaded(root, modules[:1] * ROUNDS))
        with node(root / "node", "--kernel", "none") as (port, _):
            wait(port)
            first, *stored = asyncio.run(_loaded(root, modules))
    return [
        _row("known to the agent", known),
        _row("compiled code on disk", stored, f"; {first:.0f} ms for an agent's first, which loads wasmtime"),
    ]


def _row(what: str, taken: list[float], more: str = "") -> Row:
    late = quantiles(taken, n=10)[-1]
    name = f"Load of a wasm program, call to Running, p50, {what}"
    return Row(name=name, ours=median(taken), most=20, note=f"p90 {late:.1f} ms{more}")


async def _loaded(root: Path, modules: list[bytes]) -> list[float]:
    """Milliseconds of each Load; the module was uploaded before, and is unloaded after."""
    taken = []
    async with Agent.connect(root / "node/run/agent.sock") as agent:
        for module in modules:
            digest = await agent.upload(module)
            start = time.perf_counter()
            info = await agent.load("loaded", wasm=digest)
            taken.append((time.perf_counter() - start) * 1e3)
            if info.state is not State.RUNNING:
                raise SystemExit(f"{info}")
            await agent.unload("loaded")
    return taken
