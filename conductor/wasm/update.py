"""Update by overlap: the new instance proves itself while the old one is held, unfed, ready to take over again."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Final

from conductor.errors import ConductorError, ProgramCrashed, TickFailed
from conductor.wasm.instance import WasmInstance

__all__ = ["prove"]

_LOOK: Final = 0.1
log = logging.getLogger(__name__)


async def prove(new: WasmInstance, old: WasmInstance, *, seconds: float) -> None:
    """Switch the streams to the new one and watch it; on a fault the old one takes over at a second position.

    Raises why the new one is no good; the old one is as it was then, and has what waited for the new one.
    """
    await new.tick()
    await asyncio.to_thread(new.take_over, old)
    try:
        await _watch(new, seconds)
    except BaseException:
        with suppress(ConductorError):
            await new.close()
        old.inherit(new)
        raise


async def _watch(new: WasmInstance, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    broken = asyncio.Event()
    new.when_broken(lambda: loop.call_soon_threadsafe(broken.set))
    end = loop.time() + seconds
    next_tick = loop.time() + new.interval
    while (left := end - loop.time()) > 0:
        with suppress(TimeoutError):
            async with asyncio.timeout(min(left, _LOOK, max(0.0, next_tick - loop.time()))):
                await broken.wait()
        if not await new.is_healthy():
            raise ProgramCrashed(f"{new.name}: the new version says that it is not healthy")
        if loop.time() >= next_tick:
            with suppress(TickFailed):
                await new.tick()
            next_tick = loop.time() + new.interval
