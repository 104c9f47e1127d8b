"""The command line: one file per command group. Imports everything, imported by nobody.

`COMMANDS` below is the whole menu; a command's module is imported when it is asked for, so that `--help` is quick and
a client command never imports the server. Standard output carries the document that was asked for and nothing else.
"""

from __future__ import annotations

from conductor.cli.menu import main

__all__ = ["main"]
