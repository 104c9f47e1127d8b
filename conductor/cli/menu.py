"""The menu of commands, in sections, and what happens around every one of them: errors become one sentence."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass
from typing import Any, NoReturn, cast

import click
from typing_extensions import override

from conductor import __version__
from conductor.cli.output import harmless
from conductor.errors import AgentUnreachable, ConductorError, InvalidConfig

__all__ = ["COMMANDS", "Entry", "Menu", "conductor", "main"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A command of the menu: where it is defined, and its line in `--help` (known without importing it)."""

    module: str
    help: str
    attribute: str = ""


RUN, LOAD, LOOK, MAKE, CARE = "Run", "Load and change", "Look", "Make", "Care"
COMMANDS: dict[str, dict[str, Entry]] = {
    RUN: {
        "up": Entry(module="up", help="Run loader and agent on this machine and keep them running."),
        "agent": Entry(module="agent", help="Run the agent alone, without any capability."),
        "loader": Entry(module="loader", help="Run the loader alone: the one process that may load eBPF."),
    },
    LOAD: {
        "load": Entry(module="load", help="Load a user program: a built-in or a wasm module."),
        "unload": Entry(module="lifecycle", help="Remove a program that was loaded by hand."),
        "update": Entry(
            module="update", help="Change a running program; the old one runs until the new one is proven."
        ),
        "start": Entry(module="lifecycle", help="Start a stopped program."),
        "stop": Entry(module="lifecycle", help="Stop a program and keep it listed."),
        "restart": Entry(module="lifecycle", help="Stop and start a program."),
        "apply": Entry(module="manifests", help="Make this machine as manifests say."),
        "diff": Entry(module="manifests", help="Show what apply would change."),
        "delete": Entry(module="manifests", help="Remove what manifests name."),
        "pull": Entry(module="pull", help="Fetch an image before it is needed."),
    },
    LOOK: {
        "list": Entry(module="programs", attribute="list_", help="List user programs."),
        "get": Entry(module="programs", help="Show one user program."),
        "top": Entry(module="top", help="Show what each program costs, live."),
        "logs": Entry(module="logs", help="Show the log of a program."),
        "kernel": Entry(module="kernel", help="Look at kernel programs."),
    },
    MAKE: {
        "wasm": Entry(module="wasm", help="Make, build, check and try out WebAssembly programs."),
        "image": Entry(module="image", help="Build, push, sign and look at images; list what is here."),
    },
    CARE: {
        "doctor": Entry(module="doctor", help="Say what this machine can run and what is missing."),
        "crds": Entry(module="crds", help="Print the kinds that a cluster must know, or apply them to one."),
        "withdraw": Entry(module="withdraw", help="Take everything of ours back from a cluster, before its agents go."),
        "units": Entry(module="units", help="Print or write the systemd units of loader and agent."),
        "uninstall": Entry(module="uninstall", help="Remove every pin, link, socket and file of ours."),
        "version": Entry(module="version", help="Show the versions of this program and of the agent."),
        "completion": Entry(module="completion", help="Print the completion script of a shell."),
    },
}
HIDDEN = {"greet": Entry(module="greet", help="Say what runs, once the agent is ready.")}
_REFUSED, _WRONG_USAGE, _UNREACHABLE, _INTERRUPTED = 1, 2, 3, 130


class Menu(click.Group):
    """A group whose commands are imported when they are used."""

    entries: dict[str, Entry] = {  # noqa: RUF012 - made once from a literal
        name: entry for section in (*COMMANDS.values(), HIDDEN) for name, entry in section.items()
    }

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the menu."""
        return [name for section in COMMANDS.values() for name in section]

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module."""
        if (entry := self.entries.get(cmd_name)) is None:
            return None
        module = importlib.import_module(f"conductor.cli.{entry.module}")
        return cast("click.Command", getattr(module, entry.attribute or cmd_name))

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections from the table alone."""
        for title, section in COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl([(name, entry.help) for name, entry in section.items()])


@click.group(
    cls=Menu,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Begin with `sudo conductor up`; then, in another terminal, `sudo conductor load builtin service_map`.",
)
@click.version_option(__version__, prog_name="conductor", message="%(prog)s %(version)s")
def conductor() -> None:
    """Run many eBPF tools on this machine, safely and cheaply, and read their metrics from one place."""


def main() -> NoReturn:
    """Run the command line and leave with its code: 0 done, 1 refused or failed, 2 wrong usage, 3 agent unreachable."""
    try:
        result = conductor.main(prog_name="conductor", standalone_mode=False)
        sys.stdout.flush()
        code = result if isinstance(result, int) else 0
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as exc:  # noqa: BLE001 - the outermost edge: a person reads what is said here
        code = _tell(exc)
    except KeyboardInterrupt:
        code = _INTERRUPTED
    sys.exit(code)


def _tell(exc: Exception) -> int:
    match exc:
        case click.exceptions.NoArgsIsHelpError():
            exc.show()
            return _WRONG_USAGE
        case click.UsageError():
            return _say(f"{_one_line(exc.format_message())} (see {_path(exc.ctx)} --help)", _WRONG_USAGE)
        case click.Abort():
            return _INTERRUPTED
        case click.ClickException():
            return _say(exc.format_message(), exc.exit_code)
        case InvalidConfig():
            for field, problem in exc.problems[:-1]:
                _say(f"{field}: {problem}", _WRONG_USAGE)
            return _say(": ".join(exc.problems[-1]), _WRONG_USAGE)
        case AgentUnreachable():
            return _say(str(exc), _UNREACHABLE)
        case ConductorError():
            return _say(str(exc), _REFUSED)
        case _ if os.environ.get("CONDUCTOR_DEBUG"):
            raise exc
        case _:
            return _say(f"internal fault: {_fault(exc)}; CONDUCTOR_DEBUG=1 shows where, please report it", _REFUSED)


def _say(sentence: str, code: int) -> int:
    click.echo(f"conductor: {harmless(sentence)}", err=True)
    return code


def _fault(exc: BaseException) -> str:
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    return _one_line(f"{type(exc).__name__}: {exc}")[:300]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _path(ctx: click.Context | None) -> Any:
    return ctx.command_path if ctx else "conductor"
