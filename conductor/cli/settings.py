"""Flags made from `config.OPTIONS`, and the one place that reads environment and file for every command."""

from __future__ import annotations

import dataclasses
import functools
import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from conductor.config import OPTIONS, Config, Option, as_flags
from conductor.errors import InvalidConfig

__all__ = ["AGENT", "KEEPER", "LOADER", "child_environment", "child_flags", "read", "settings"]

KEEPER: tuple[str, ...] = tuple(option.name for option in OPTIONS)
AGENT: tuple[str, ...] = tuple(name for name in KEEPER if name not in {"stats", "keep"})
LOADER = (
    "loader_socket",
    "agent_socket",
    "bpfman_socket",
    "bpffs",
    "state_dir",
    "cache_dir",
    "user",
    "groups",
    "allow_uid0",
    "image_policy",
    "registries",
    "stats",
    "log_level",
    "log_format",
)
Command = Callable[..., Any]


def settings(names: tuple[str, ...]) -> Callable[[Command], Command]:
    """Give a command these settings as flags, and `config` as its argument."""

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def run(*, config_file: str | None, **given: Any) -> Any:
            flags = {name: given.pop(name) for name in names}
            return command(config=read(flags, config_file), **given)

        wrapped: Command = run
        for option in reversed([option for option in OPTIONS if option.name in names]):
            wrapped = _flag(option)(wrapped)
        file = click.option(
            "--config", "config_file", metavar="FILE", help="TOML file with these settings. [CONDUCTOR_CONFIG]"
        )
        return file(wrapped)

    return decorate


def read(flags: Mapping[str, Any], config_file: str | None = None) -> Config:
    """Merge flags, environment and file; a node without a name gets the host's. Raises `InvalidConfig`."""
    named = config_file or os.environ.get("CONDUCTOR_CONFIG")
    given = {name: _absolute(name, value) for name, value in flags.items() if value not in (None, ())}
    config = Config.parse(flags=given, environ=os.environ, file=_file(Path(named)) if named else {})
    return config if config.node_name else dataclasses.replace(config, node_name=os.uname().nodename)


def child_flags(config: Config, names: tuple[str, ...]) -> tuple[str, ...]:
    """Flags by which a child process gets the same settings, as far as it takes them."""
    others = {option.name: option.default for option in OPTIONS if option.name not in names}
    return as_flags(dataclasses.replace(config, **others))


def child_environment() -> dict[str, str]:
    """Our environment without the settings: a child is told by flags alone."""
    ours = {option.variable for option in OPTIONS} | {"CONDUCTOR_CONFIG"}
    return {name: value for name, value in os.environ.items() if name not in ours}


def _flag(option: Option) -> Callable[[Command], Command]:
    shown = f"{option.help} [{_default(option)}{option.variable}]"
    if option.is_switch:
        return click.option(
            f"{option.flag}/{option.flag.replace('--', '--no-', 1)}", option.name, default=None, help=shown
        )
    return click.option(option.flag, option.name, metavar=option.metavar, multiple=option.many, help=shown)


def _default(option: Option) -> str:
    if option.is_switch:
        return "on; " if option.default else ""
    written = f"{option.default:g}s" if isinstance(option.default, float) else option.default
    return f"{written}; " if written else ""


def _absolute(name: str, value: Any) -> Any:
    """Read paths of the command line from where the user stands; other layers must spell them out."""
    option = next(option for option in OPTIONS if option.name == name)
    if option.metavar not in {"PATH", "DIR", "FILE"}:
        return value
    return tuple(os.path.abspath(item) for item in value) if option.many else os.path.abspath(value)  # noqa: PTH100 - links stay


def _file(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as exc:
        raise InvalidConfig((("--config", f"{path}: {exc.strerror}"),)) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise InvalidConfig((("--config", f"{path} is no TOML: {exc}"),)) from exc
