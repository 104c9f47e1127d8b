"""Compile modules in children with limits, few at once; a breach kills the child and is told as `CompileBudget`."""

from __future__ import annotations

import asyncio
import signal
from typing import Final

from conductor.children import Answer, ask, ours
from conductor.errors import CompileBudget, ModuleUnusable, ProgramCrashed
from conductor.wasm.compile_child import REFUSED
from conductor.wasm.settings import CODE_BYTES, COMPILE_BYTES, COMPILE_CPU_SECONDS, COMPILE_SECONDS

__all__ = ["Compiler"]

AT_ONCE: Final = 2


class Compiler:
    """Own the children."""

    def __init__(self, *, seconds: float = COMPILE_SECONDS, code_bytes: int = CODE_BYTES) -> None:
        self._seconds, self._code_bytes = seconds, code_bytes
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def compile(self, module: bytes) -> bytes:
        """Answer machine code. Raises `ModuleUnusable`, `CompileBudget`, `ProgramCrashed` (the child is broken)."""
        async with self._slots:
            try:
                answer = await ask(
                    ours("conductor.wasm.compile_child"),
                    module,
                    seconds=self._seconds,
                    most=self._code_bytes,
                    environment={},
                )
            except TimeoutError as exc:
                raise CompileBudget(f"compiling took more than {self._seconds:g} s; make the module simpler") from exc
        if answer.is_too_long:
            raise CompileBudget(f"machine code is past {self._code_bytes >> 20} MiB; make the module simpler")
        return _judged(answer)


def _judged(answer: Answer) -> bytes:
    """Answer the code of a child that did its job. Raises as `Compiler.compile`."""
    status, said = answer.status, answer.words
    if status == 0 and answer.said:
        return answer.said
    if status == REFUSED:
        raise ModuleUnusable(said or "the module does not compile")
    if status in (-signal.SIGXCPU, -signal.SIGKILL):
        raise CompileBudget(f"compiling took more than {COMPILE_CPU_SECONDS} s of CPU; make the module simpler")
    if status == -signal.SIGABRT or "memory allocation" in said or "MemoryError" in said:
        raise CompileBudget(f"compiling took more than {COMPILE_BYTES >> 20} MiB; make the module simpler")
    if status == -signal.SIGSEGV:
        raise CompileBudget("compiling overflowed the compiler's stack; make the module simpler")
    raise ProgramCrashed(f"the compiling child ended with {status}: {answer.last_words}")
