"""The child that compiles one module: reads it from standard input, writes machine code to standard output.

Nothing limits a compiler from inside, so this process limits itself first: CPU, address space, files, priority. It
dies with its parent. Started as `python -m conductor.wasm.compile_child PARENT` with an empty environment.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

from conductor.wasm.settings import COMPILE_BYTES, COMPILE_CPU_SECONDS, MODULE_BYTES

__all__ = ["REFUSED", "main"]

REFUSED = 3
"""Exit code: the module is at fault; standard error says how."""
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38


def main() -> int:
    """Compile; answer the exit code."""
    _limit()
    from conductor.errors import ModuleUnusable  # noqa: PLC0415 - the limits come first
    from conductor.wasm.engine import Engine  # noqa: PLC0415 - as above

    module = sys.stdin.buffer.read(MODULE_BYTES + 1)
    try:
        code = Engine.made().compile(module)
    except ModuleUnusable as exc:
        sys.stderr.write(str(exc))
        return REFUSED
    with open(1, "wb", closefd=False) as out:
        out.write(code)
    return 0


def _limit() -> None:
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if [str(os.getppid())] != sys.argv[1:]:
        os._exit(1)  # the parent died before the line above
    os.nice(10)
    for what, most in (
        (resource.RLIMIT_CPU, COMPILE_CPU_SECONDS),
        (resource.RLIMIT_AS, COMPILE_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        resource.setrlimit(what, (most, most))


if __name__ == "__main__":
    sys.exit(main())
