"""Compile modules in children with limits, few at once; a breach kills the child and is told as `CompileBudget`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from conductor.errors import CompileBudget, ModuleUnusable, ProgramCrashed
from conductor.wasm.compile_child import REFUSED
from conductor.wasm.settings import CODE_BYTES, COMPILE_BYTES, COMPILE_CPU_SECONDS, COMPILE_SECONDS

__all__ = ["Compiler"]

AT_ONCE: Final = 2
_CHUNK: Final = 1 << 20
_COMMAND: Final = (sys.executable, "-m", "conductor.wasm.compile_child")
_WHERE: Final = Path(__file__).parent.parent.parent
"""Where the package lies: a child started with -m finds it there, whatever its environment."""


class Compiler:
    """Own the children."""

    def __init__(self, *, seconds: float = COMPILE_SECONDS, code_bytes: int = CODE_BYTES) -> None:
        self._seconds, self._code_bytes = seconds, code_bytes
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def compile(self, module: bytes) -> bytes:
        """Answer machine code. Raises `ModuleUnusable`, `CompileBudget`, `ProgramCrashed` (the child is broken)."""
        async with self._slots:
            child = await asyncio.create_subprocess_exec(
                *_COMMAND,
                str(os.getpid()),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={},
                cwd=_WHERE,
                start_new_session=True,
                limit=_CHUNK,
            )
            try:
                async with asyncio.timeout(self._seconds):
                    code, said = await self._talk(child, module)
                    status = await child.wait()
            except TimeoutError as exc:
                raise CompileBudget(f"compiling took more than {self._seconds:g} s; make the module simpler") from exc
            finally:
                with suppress(ProcessLookupError):
                    child.kill()
                await child.wait()
        return _judged(status, code, said)

    async def _talk(self, child: asyncio.subprocess.Process, module: bytes) -> tuple[bytes, str]:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        async with asyncio.TaskGroup() as group:
            group.create_task(_feed(child.stdin, module), name="compile-in")
            said = group.create_task(child.stderr.read(_CHUNK), name="compile-words")
            code = bytearray()
            while chunk := await child.stdout.read(_CHUNK):
                code += chunk
                if len(code) > self._code_bytes:
                    child.kill()
        if len(code) > self._code_bytes:
            raise CompileBudget(f"machine code is past {self._code_bytes >> 20} MiB; make the module simpler")
        return bytes(code), said.result().decode(errors="replace").strip()


async def _feed(stdin: asyncio.StreamWriter, module: bytes) -> None:
    with suppress(ConnectionError):  # it ended early: its exit code tells
        stdin.write(module)
        await stdin.drain()
    with suppress(ConnectionError):
        stdin.close()
        await stdin.wait_closed()


def _judged(status: int, code: bytes, said: str) -> bytes:
    """Answer the code of a child that did its job. Raises as `Compiler.compile`."""
    if status == 0 and code:
        return code
    if status == REFUSED:
        raise ModuleUnusable(said or "the module does not compile")
    if status in (-signal.SIGXCPU, -signal.SIGKILL):
        raise CompileBudget(f"compiling took more than {COMPILE_CPU_SECONDS} s of CPU; make the module simpler")
    if status == -signal.SIGABRT or "memory allocation" in said or "MemoryError" in said:
        raise CompileBudget(f"compiling took more than {COMPILE_BYTES >> 20} MiB; make the module simpler")
    if status == -signal.SIGSEGV:
        raise CompileBudget("compiling overflowed the compiler's stack; make the module simpler")
    last = said.splitlines()[-1] if said else "it said nothing"
    raise ProgramCrashed(f"the compiling child ended with {status}: {last}")
