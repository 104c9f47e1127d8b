"""Every example under `--help` is a command that parses."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest

from conductor.cli.menu import conductor


def commands(group: click.Group, ctx: click.Context) -> Iterator[click.Command]:
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, ctx)
        else:
            yield command


def examples() -> Iterator[str]:
    with click.Context(conductor) as ctx:
        for command in commands(conductor, ctx):
            for line in (command.epilog or "").splitlines():
                if found := re.match(r"  (?:.*\| )?(?:sudo )?conductor (.*?)(?: [|>] .*)?$", line):
                    yield re.sub(r"\$\(.*?\)", "ANSWER", found[1])


EXAMPLES = sorted(set(examples()))


def parse(words: list[str]) -> None:
    command: click.Command = conductor
    ctx = click.Context(conductor)
    while isinstance(command, click.Group):
        found = command.get_command(ctx, words[0])
        assert found is not None, words[0]
        command, words = found, words[1:]
    command.make_context("conductor", words).close()


def test_there_are_examples() -> None:
    assert len(EXAMPLES) > 30


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_parses(example: str) -> None:
    parse(shlex.split(example))


def test_one_that_does_not_parse_is_noticed() -> None:
    with pytest.raises(click.NoSuchOption):
        parse(["list", "--colour"])
