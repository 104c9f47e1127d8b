"""Options written K=V: metadata, config values, limits, map grants."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import click

from conductor.model.grants import Access, MapGrant
from conductor.model.ids import parse_name

__all__ = ["config", "grants", "pairs"]

_ACCESS = {"": Access.READ, "read": Access.READ, "consume": Access.CONSUME, "rw": Access.READ_WRITE}


def pairs(given: Iterable[str], option: str) -> dict[str, str]:
    """Read `k=v` options; the last of one key counts. Raises click's `BadParameter`."""
    found = {}
    for item in given:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{item!r} is not written KEY=VALUE", param_hint=option)
        found[key] = value
    return found


def config(given: Iterable[str]) -> dict[str, Any]:
    """Read `--config k=v`: v is JSON if it parses, else a string."""
    return {key: _value(text) for key, text in pairs(given, "--config").items()}


def grants(given: Sequence[str]) -> tuple[MapGrant, ...]:
    """Read `--map NAME=KERNELPROGRAM[/MAP][:consume|:rw]`."""
    return tuple(_grant(name, target) for name, target in pairs(given, "--map").items())


def _grant(name: str, target: str) -> MapGrant:
    where, _, word = target.partition(":")
    if word not in _ACCESS:
        raise click.BadParameter(f"{name}: access {word!r} is none of read, consume, rw", param_hint="--map")
    program, _, map_name = where.partition("/")
    return MapGrant(
        name=name, kernel_program=parse_name(program, f"--map {name}"), map=map_name or name, access=_ACCESS[word]
    )


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except ValueError:
        return text


def _no_constant(word: str) -> Any:
    raise ValueError(word)  # NaN and Infinity are no JSON: keep the word
